"""Publish a bundle: whole or not at all, under the next version, once per identity; roll back and promote.

layout.py has the names in a destination; posix_store.py and object_store.py keep on each kind of storage what
is promised here. Standard library only, until a destination with a scheme (gs://) is opened. The executor and
`python -m serving` call these functions.

The served version is the one that `current` names, and the first of each model in TF Serving's configuration
(model_server_config.py). A push serves the version that it publishes. An operator's `rollback` or `promote`
serves another version and withdraws every version above it. A withdrawn version is served again only by
`promote`:

- If the same models are pushed again, their version stays withdrawn, and the push reports that. So a pipeline
  that runs every night does not undo the rollback of the evening.
- Other models become the next version and are served: the operator rolled back to wait for them.
- A rollback passes over versions that were withdrawn before.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Collection

from serving import layout, manifest, model_server_config
from serving.stores.store import Store, bundle_path, newest, open_store, read_manifest, read_withdrawn, verify

KEEP_VERSIONS = 5


@dataclasses.dataclass(frozen=True)
class Published:
    """A published bundle.

    Attributes:
      version: its version, an integer from 1.
      path: its folder, or its URI.
      new: False if a version already held the same identity.
      served: False if an operator withdrew that version.
    """

    version: int
    path: str
    new: bool
    served: bool = True


@dataclasses.dataclass(frozen=True)
class ServedChange:
    """An operator's change of the served version: the version before and after, 0 for none."""

    before: int
    after: int


def publish(bundle: str, destination: str, keep: int = KEEP_VERSIONS) -> Published:
    """Publish a bundle, or find it published; either way leave links and pointer whole.

    The bundle's identity is compared with that of the served version, of withdrawn ones, and of the newest.
    It is not compared with older ones: models pushed again after others become a new version.

    Args:
      bundle: a complete bundle with its manifest; it is not changed.
      destination: where to publish to; created if it does not exist.
      keep: how many of the newest versions stay; the served version, and the one that a rollback would serve,
        stay in any case.
    Raises:
      ValueError: the bundle is not as its manifest lists it.
    """
    identity = manifest.verify(bundle)["identity"]
    store = open_store(destination)
    with store.staged(bundle) as commit, store.locked():
        published = _find(store, identity)
        if published is None:
            version = store.next_version()
            commit(version)
            published = Published(version, bundle_path(store, version), new=True)
            _serve(store, version)
            _retire(store, keep)
    return published


def require_readable(destination: str) -> None:
    """Read the records of a destination that a push reads; the destination need not exist yet.

    Raises:
      ValueError: one of them is damaged, and a push would be rejected.
    """
    store = open_store(destination)
    store.current()
    store.next_version()
    read_withdrawn(store)


def find(destination: str, identity: str) -> Published | None:
    """Find and repair the version that has this identity; None if publishing it would make a new version."""
    store = open_store(destination)
    if not store.versions():
        return None
    with store.locked():
        return _find(store, identity)


def fetch(destination: str, version: int, folder: str) -> None:
    """Copy a published bundle to a local folder."""
    open_store(destination).fetch(version, folder)


def rollback_target(store: Store, served: int) -> int:
    """Version that a rollback serves: the next lower one that was not withdrawn; 0 if there is none."""
    withdrawn = read_withdrawn(store)
    earlier = [version for version in store.versions() if version < served and version not in withdrawn]
    return max(earlier, default=0)


def rollback(destination: str) -> ServedChange:
    """Serve the version before the served one, verified first.

    Raises:
      ValueError: there is none, or it is damaged.
    """
    store = open_store(destination)
    _require_versions(store)
    with store.locked():
        served = store.current()
        target = rollback_target(store, served)
        if not target:
            raise ValueError(
                f"A rollback needs a version before the served one, {served or 'none'}; {destination} "
                "holds no such version that was not withdrawn. Choose one by `promote`."
            )
        return _change(store, target)


def promote(destination: str, version: int) -> ServedChange:
    """Serve a given version, verified first.

    Raises:
      ValueError: it is absent or damaged.
    """
    store = open_store(destination)
    _require_versions(store)
    with store.locked():
        if version not in store.versions():
            raise ValueError(
                f"{destination} must hold version {version}; it holds "
                f"{', '.join(map(str, store.versions()))}. Choose one of these."
            )
        return _change(store, version)


def _require_versions(store: Store) -> None:
    if not store.versions():
        raise ValueError(f"{store.location} must hold a published version; it holds none. Push to it first.")


def _change(store: Store, version: int) -> ServedChange:
    try:
        verify(store, version)
    except ValueError as error:
        raise ValueError(f"{error} Or `promote` another version.") from error
    before = store.current()
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    withdrawn_before = read_withdrawn(store)
    withdrawn = {
        other: withdrawn_before.get(other, now)
        for other in store.versions()
        if other > version or (other in withdrawn_before and other != version)
    }
    # First, so that a push does not undo a change whose process dies here.
    store.write(layout.WITHDRAWN, json.dumps(withdrawn) + "\n")
    _serve(store, version)
    return ServedChange(before, version)


def _find(store: Store, identity: str) -> Published | None:
    served, withdrawn = store.current(), read_withdrawn(store)
    if _is_intact(store, served, identity):
        return _serve_again(store, served)
    for version in sorted(withdrawn, reverse=True):
        if _has_identity(store, version, identity):
            return Published(version, bundle_path(store, version), new=False, served=False)
    # The newest version is neither served nor withdrawn if its publisher died before it moved the pointer.
    if _is_intact(store, newest(store), identity):
        return _serve_again(store, newest(store))
    return None


def _serve_again(store: Store, version: int) -> Published:
    _serve(store, version)
    return Published(version, bundle_path(store, version), new=False)


def _has_identity(store: Store, version: int, identity: str) -> bool:
    try:
        return read_manifest(store, version)["identity"] == identity
    except ValueError:
        return False


def _is_intact(store: Store, version: int, identity: str) -> bool:
    """Return whether a version has this identity and is undamaged; a damaged one is published anew."""
    try:
        return _has_identity(store, version, identity) and bool(verify(store, version))
    except ValueError:
        return False


def _serve(store: Store, version: int) -> None:
    """Serve a version: to readers of `current`, and by TF Serving.

    All versions up to this one are linked, not this one alone: a publisher that died after its rename left no
    links. Versions above it and withdrawn ones are not linked: a TF Serving without our configuration serves
    the highest version that it sees. A configuration never names a version that is not linked.
    """
    withdrawn = read_withdrawn(store)
    served = {
        other: _models(store, other)
        for other in store.versions()
        if other == version or (other < version and other not in withdrawn)
    }
    for other, models in served.items():
        store.link(other, models)
    store.point(version)
    # The served version, and the one that a rollback would serve.
    _configure(store, {other: served[other] for other in sorted(served, reverse=True)[:2]})
    _unlink(store, set(store.versions()) - set(served))


def _configure(store: Store, models_of: dict[int, dict[str, dict[str, bool]]]) -> None:
    """Write TF Serving's configurations.

    Args:
      store: of the destination.
      models_of: the models of the served version, then those of the one before, by version.
    """
    for name, scann in ((layout.CONFIG, False), (layout.SCANN_CONFIG, True)):
        loadable = {
            version: [model for model, needs in models.items() if scann or not needs["scann"]]
            for version, models in models_of.items()
        }
        versions = {
            model: [version for version, models in loadable.items() if model in models]
            for model in next(iter(loadable.values()))
        }
        store.write(f"{layout.SERVING}/{name}", model_server_config.write_text(store.location, versions))


def _models(store: Store, version: int) -> dict[str, dict[str, bool]]:
    """Return a version's SavedModels; none if its manifest is damaged."""
    try:
        return read_manifest(store, version)["models"]
    except ValueError:
        return {}


def _retire(store: Store, keep: int) -> None:
    """Remove all versions but the last `keep`, the served one, and the one that a rollback would serve."""
    served = store.current()
    needed = {*store.versions()[-keep:], served, rollback_target(store, served)}
    obsolete = [version for version in store.versions() if version not in needed]
    _unlink(store, obsolete)
    for version in obsolete:
        store.remove(version)


def _unlink(store: Store, versions: Collection[int]) -> None:
    for version in versions:
        store.unlink(version)
