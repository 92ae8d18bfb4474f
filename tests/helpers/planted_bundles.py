"""Small bundles in the shape of real ones, and what a reader finds at a destination."""

from __future__ import annotations

import os
import pathlib

from serving import manifest

FILES = ("recommend/saved_model.pb", "recommend/variables/data", "ranking/saved_model.pb", "tflite/r.tflite")


def make_bundle(folder: pathlib.Path, content: str) -> str:
    for name in FILES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name} {content}" * 1_000)
    manifest.write(str(folder), {"model": content}, {"index_recall": 1.0})
    return str(folder)


def versions_in(destination: pathlib.Path) -> list[int]:
    """Versions at a destination, where nothing else may be."""
    return sorted(int(path.name) for path in (destination / "bundles").iterdir())


def linked(destination: pathlib.Path, model: str = "ranking") -> list[int]:
    """Versions of a model that a TF Serving sees."""
    return sorted(int(path.name) for path in (destination / "serving" / model).iterdir())


def assert_whole(destination: pathlib.Path) -> int:
    """What a reader sees: `current` and every serving link lead to a bundle that is as its manifest says."""
    current = (destination / "current").resolve()
    manifest.verify(str(current))
    for link in (destination / "serving").glob("*/*"):
        if link.name.isdecimal():
            assert not os.path.isabs(os.readlink(link))
            assert (link / "saved_model.pb").is_file()
            manifest.verify(str(link.resolve().parent))
    return int(current.name)
