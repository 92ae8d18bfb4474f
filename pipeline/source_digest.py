"""Digest of a module's source and of the project's own modules it is built on.

Called by the wiring, in the compiling process only. TFX's cache key knows the inputs and the parameters of a
step, not the user code behind a dotted path such as `modules.retrieval.run_fn`. This digest goes into a
parameter, so that an edited module re-runs exactly the steps that depend on it.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

OWN_PACKAGES = ("components", "modules", "pipeline", "serving", "common", "benchmarks")

_ROOT = Path(__file__).resolve().parent.parent


def source_digest(entry: str, root: Path = _ROOT) -> str:
    """Digest the source of a module together with every module of the project that it imports.

    The sources are parsed, never imported. Imports inside functions count; a name that is put together at run
    time does not, so user code states what it imports.

    Args:
      entry: dotted name of a module, such as `modules.retrieval`.
      root: folder that holds the project's packages.
    Returns:
      64 hexadecimal digits, the same on every machine.
    Raises:
      ValueError: no file of the project holds `entry`.

    >>> source_digest("modules.features") == source_digest("modules.features")
    True
    """
    if not list(_files(entry, root)):
        raise ValueError(
            f"A source digest is taken of a module under {', '.join(OWN_PACKAGES)}; got {entry!r}, for which "
            f"{root} holds no file. Give the module's dotted name, without a function."
        )
    digest = hashlib.sha256()
    # Other versions of the libraries are other code too. An installed package comes without the lock.
    lock = root / "requirements" / "runtime.lock"
    if lock.exists():
        digest.update(lock.read_bytes())
    for module, source in sorted(_closure(entry, root).items()):
        # Name and length frame each part: no two sets of files share one byte string.
        digest.update(f"{module} {len(source)}\n".encode())
        digest.update(source)
    return digest.hexdigest()


def _closure(entry: str, root: Path) -> dict[str, bytes]:
    """Sources of `entry` and of all it imports from the project, by file path relative to `root`."""
    sources: dict[str, bytes] = {}
    pending = [entry]
    seen: set[str] = set()
    while pending:
        module = pending.pop()
        if module in seen:
            continue
        seen.add(module)
        for path in _files(module, root):
            name = path.relative_to(root).as_posix()
            if name not in sources:
                sources[name] = path.read_bytes()
                package = path.relative_to(root).parent.parts
                pending.extend(_imports(sources[name], package, str(path)))
    return sources


def _files(module: str, root: Path) -> Iterator[Path]:
    """Yield the files that importing `module` runs, its packages' `__init__.py` included."""
    parts = module.split(".")
    if parts[0] not in OWN_PACKAGES:
        return
    target = root.joinpath(*parts)
    as_module = target.with_name(target.name + ".py")
    as_package = target / "__init__.py"
    if not as_module.is_file() and not as_package.is_file():
        return
    for depth in range(1, len(parts) + 1):
        init = root.joinpath(*parts[:depth], "__init__.py")
        if init.is_file():
            yield init
    if as_module.is_file():
        yield as_module


@functools.cache  # Most modules are below several of a pipeline's steps.
def _imports(source: bytes, package: tuple[str, ...], path: str) -> tuple[str, ...]:
    """List the dotted names that a module of a package imports: modules, and names that may be modules."""
    names: list[str] = []
    for node in ast.walk(ast.parse(source, filename=path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - (node.level - 1)] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return tuple(names)
