"""What pydantic says of a mistake, in words for a person."""

from __future__ import annotations

import pydantic


def in_words(error: pydantic.ValidationError, place: str | None = None) -> str:
    """Say what is wrong first, in one line.

    Args:
      place: the person's word for the field; None for its path.

    >>> class Config(pydantic.BaseModel):
    ...     epochs: int
    >>> try:
    ...     Config(epochs="many")
    ... except pydantic.ValidationError as error:
    ...     in_words(error)
    "epochs: Input should be a valid integer, unable to parse string as an integer; received 'many'"
    """
    first = error.errors()[0]
    # Our own validators say themselves what was received; pydantic would add the whole object.
    own = first["type"] == "value_error"
    said = first["ctx"]["error"] if own else f"{first['msg']}; received {first['input']!r}"
    place = ".".join(map(str, first["loc"])) if place is None else place
    return f"{place}: {said}" if place else str(said)
