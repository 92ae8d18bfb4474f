"""One line for an error of pydantic's."""

from __future__ import annotations

import pydantic


def in_words(error: pydantic.ValidationError, field: str | None = None) -> str:
    """Describe the first fault in one line.

    Args:
      field: the user's name of the field; None for its path.

    >>> class Config(pydantic.BaseModel):
    ...     epochs: int
    >>> try:
    ...     Config(epochs="many")
    ... except pydantic.ValidationError as error:
    ...     in_words(error)
    "epochs: Input should be a valid integer, unable to parse string as an integer; received 'many'"
    """
    first = error.errors()[0]
    # The messages of our own validators name what was received; pydantic would add the whole object.
    own = first["type"] == "value_error"
    fault = first["ctx"]["error"] if own else f"{first['msg']}; received {first['input']!r}"
    field = ".".join(map(str, first["loc"])) if field is None else field
    return f"{field}: {fault}" if field else str(fault)
