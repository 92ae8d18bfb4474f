"""A row of the users file to the side features of one user: pure, called in workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from components.movielens_example_gen.parsing.parse import (
    BAD_AGE,
    BAD_GENDER,
    BAD_OCCUPATION,
    EMPTY_ID,
    Fault,
    whole,
)
from components.movielens_example_gen.sources import releases
from modules import features

# The greatest age, and the genders, that pipeline/schema allows.
OLDEST = 120
GENDERS = ("F", "M", features.UNKNOWN)


class User(NamedTuple):
    """Side features of one user.

    Attributes:
      age: years; in ml-1m the lower bound of the user's age group; features.UNKNOWN_AGE if not given.
    """

    user_id: str
    gender: str = features.UNKNOWN
    age: int = features.UNKNOWN_AGE
    occupation: str = features.UNKNOWN


def parse_user(fields: Sequence[str], release: releases.Release) -> User | Fault:
    """Read the required columns of one row of the users file; an empty feature is unknown.

    >>> parse_user(["3", "M", "25", "15", "55117"], releases.RELEASES["ml-1m"])
    User(user_id='3', gender='M', age=25, occupation='scientist')
    """
    named = dict(zip(release.users.columns if release.users else (), fields, strict=True))
    user_id, age, occupation = whole(named["userId"]), whole(named["age"]), named["occupation"]
    gender = named["gender"] or features.UNKNOWN
    if not user_id:
        return Fault(EMPTY_ID, "the user id is empty")
    if gender not in GENDERS:
        return Fault(BAD_GENDER, f"gender {gender[:40]!r} must be one of {', '.join(GENDERS)}, or empty")
    years = features.UNKNOWN_AGE
    if age:
        if not (age.isascii() and age.isdigit() and len(age) <= 3 and int(age) <= OLDEST):
            return Fault(BAD_AGE, f"age {age[:40]!r} must be a whole number from 0 to {OLDEST}, or empty")
        years = int(age)
    if occupation and release.occupations:
        occupation = whole(occupation)
        codes = len(release.occupations)
        is_code = occupation.isascii() and occupation.isdigit() and len(occupation) <= 3
        if not (is_code and int(occupation) < codes):
            return Fault(
                BAD_OCCUPATION, f"occupation {occupation[:40]!r} must be a code from 0 to {codes - 1}"
            )
        occupation = release.occupations[int(occupation)]
    return User(user_id, gender, years, occupation or features.UNKNOWN)
