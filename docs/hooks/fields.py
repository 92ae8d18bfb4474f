"""The tables of docs/configuration.md: every field of a configuration, read from the classes that declare it.

Called by MkDocs. A field's meaning is the comment above it, or what the docstring of its class begins with.
"""

from __future__ import annotations

import ast
import functools
import inspect
import json
import re
import textwrap
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import pydantic
from mkdocs.structure.pages import Page

from modules import search_space
from pipeline import config

Kind = type[pydantic.BaseModel]

_PAGE = "configuration.md"
_TYPES = {int: "integer", float: "number", str: "text", bool: "`true`, `false`", type(None): "`null`"}
_LISTS = {int: "integers", float: "numbers", str: "texts"}
_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
_JSON = {"None": "`null`", "True": "`true`", "False": "`false`"}


@functools.cache
def presets() -> dict[str, config.Config]:
    """Return the configurations whose values are shown; the last is for what only another head has."""
    machine = {"models": {"ranking": {"head": "factorization"}}}
    made = {name: make() for name, make in config.PRESETS.items()}
    return {**made, "head factorization": config.with_changes(made["default"], machine)}


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel)


def _is_collection(annotation: Any) -> bool:
    origin = typing.get_origin(annotation)
    return isinstance(origin, type) and issubclass(origin, tuple | Mapping)


def _models(annotation: Any, collected: bool = False) -> dict[Kind, bool]:
    """Find the classes with fields of their own in a type, and whether they are members of a collection."""
    if _is_model(annotation):
        return {annotation: collected}
    found: dict[Kind, bool] = {}
    for part in typing.get_args(annotation):
        found |= _models(part, collected or _is_collection(annotation))
    return found


def comments(kind: Kind) -> dict[str, str]:
    """Read the comment above every field of a class, those that it inherits too.

    A field right below another of the same type shares its comment.
    """
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if _is_model(base) and base is not pydantic.BaseModel:
            found |= _own_comments(base)
    return found


def _own_comments(kind: Kind) -> dict[str, str]:
    source = textwrap.dedent(inspect.getsource(kind))
    lines, found = source.splitlines(), dict[str, str]()
    last: ast.AnnAssign | None = None
    text = ""
    declared = next(node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef))
    for node in declared.body:
        if not isinstance(node, ast.AnnAssign):
            continue
        first = node.lineno - 1
        while lines[first - 1].lstrip().startswith("#"):
            first -= 1
        above = " ".join(line.strip(" #") for line in lines[first : node.lineno - 1])
        shares = (
            last is not None
            and last.end_lineno == first
            and ast.dump(last.annotation) == ast.dump(node.annotation)
        )
        text = above or (text if shares else "")
        found[ast.unparse(node.target)] = text
        last = node
    return found


def taken(field: pydantic.fields.FieldInfo) -> str:
    """Say what a field takes: its type and range."""
    limits = [
        f"{sign} {_number(getattr(limit, name))}"
        for limit in field.metadata
        for name, sign in _BOUNDS.items()
        if hasattr(limit, name)
    ]
    limits += [f"matching `{limit.pattern}`" for limit in field.metadata if getattr(limit, "pattern", None)]
    return ", ".join([_type(field.annotation), *limits])


def _number(value: float) -> str:
    return f"2^{value.bit_length() - 1}" if isinstance(value, int) and value >= 2**31 else f"{value:g}"


def _type(annotation: Any) -> str:
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{json.dumps(value)}`" for value in parts)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(_type, parts)))
    if origin is tuple:
        return f"list of {_LISTS.get(parts[0]) or _link(parts[0])}"
    if _is_collection(annotation):
        return f"object: {_type(parts[0])} to {_type(parts[1])}"
    return _link(annotation) if annotation is search_space.Range else _TYPES.get(annotation, "object")


def _link(kind: Kind) -> str:
    return f"[{kind.__name__}](#{kind.__name__.lower()})"


def values(kind: Kind, path: tuple[str, ...], name: str) -> str:
    """Say what a field is in the first preset that has it, and what else in others."""
    field, found = kind.model_fields[name], {}
    for preset, made in presets().items():
        owner: Any = made
        for step in path:
            owner = getattr(owner, step, None)
        if type(owner) is kind:
            found[preset] = _value(getattr(owner, name))
    if not found:
        return "to be given" if field.is_required() else _value(field.get_default(call_default_factory=True))
    first, *others = found.items()
    text = first[1] if first[0] == "default" else f"{first[0]}: {first[1]}"
    return "; ".join([text, *(f"{preset}: {value}" for preset, value in others if value != first[1])])


def _value(value: Any) -> str:
    if isinstance(value, pydantic.BaseModel):
        return "below"
    encoded = pydantic.TypeAdapter(Any).dump_python(value, mode="json", exclude_defaults=True)
    return f"`{json.dumps(encoded, ensure_ascii=False)}`"


def table(kind: Kind, path: tuple[str, ...], title: str) -> str:
    """Write a heading and a table of one class.

    Args:
      kind: the class.
      path: fields that lead to it.
      title: of the heading.
    Raises:
      ValueError: a field has no comment.
    """
    described = comments(kind)
    about = inspect.cleandoc(kind.__doc__ or "").split(">>>")[0]
    lines = [
        f"### {title}",
        "",
        _in_json(about),
        "",
        "| field | takes | default | meaning |",
        "|---|---|---|---|",
    ]
    for name, field in kind.model_fields.items():
        firsts = (inspect.cleandoc(inner.__doc__ or "").split("\n")[0] for inner in _models(field.annotation))
        text = described[name] or " ".join(firsts)
        if not text:
            where = f"{kind.__module__}.{kind.__name__}.{name}"
            raise ValueError(f"{where} must have a comment that says what it means; received none")
        lines.append(f"| `{name}` | {taken(field)} | {values(kind, path, name)} | {_in_json(text)} |")
    return "\n".join(lines)


def _in_json(text: str) -> str:
    return re.sub(r"\b(None|True|False)\b", lambda word: _JSON[word[0]], text.rstrip())


def tables() -> Iterator[str]:
    """Write the tables of the whole configuration, and of what its lists hold."""
    members: dict[Kind, None] = {}

    def below(kind: Kind, path: tuple[str, ...], which: str) -> Iterator[str]:
        yield table(kind, path, (".".join(path) or "The whole") + which)
        for name, field in kind.model_fields.items():
            inner = _models(field.annotation)
            for one, collected in inner.items():
                if collected:
                    members[one] = None
                    continue
                heads = typing.get_args(one.model_fields["head"].annotation) if len(inner) > 1 else ()
                yield from below(one, (*path, name), f", head {' or '.join(heads)}" if heads else which)

    yield from below(config.Config, (), "")
    for kind in list(members):
        members.update(
            dict.fromkeys(one for field in kind.model_fields.values() for one in _models(field.annotation))
        )
    for kind in members:
        yield table(kind, (), kind.__name__)


def spaces() -> Iterator[str]:
    """Write the values that are tried where `tuning` does not say."""
    yield "| model | values that are tried |\n|---|---|"
    models = presets()["default"].models
    heads = {
        "ranking": models.ranking,
        "ranking, head factorization": presets()["head factorization"].models.ranking,
    }
    for name, model in {"retrieval": models.retrieval, **heads, "multitask": models.multitask}.items():
        yield f"| {name} | {_value(dict(search_space.default_space(model)))} |"


_MARKS: dict[str, Callable[[], str]] = {
    "<!-- fields -->": lambda: "\n\n".join(tables()),
    "<!-- spaces -->": lambda: "\n".join(spaces()),
}


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Put the tables in the place of their marks."""
    if page.file.src_uri != _PAGE:
        return markdown
    for mark, written in _MARKS.items():
        if mark not in markdown:
            raise ValueError(f"docs/{_PAGE} must hold {mark}, in whose place the tables go")
        markdown = markdown.replace(mark, written())
    return markdown
