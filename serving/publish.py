"""Publish a bundle: whole or not at all, under the next version, once per identity; and turn back.

layout.py has the names in a destination, posix_store.py and object_store.py how each kind of storage keeps
what is promised here. Standard library only, until a destination with a scheme (gs://) is opened. Called by
the executor, and by `python -m serving`.

In service is what `current` says, and what TF Serving is told (model_server_config.py). A push puts what it
publishes in service. An operator's turn (rollback, promote) withdraws every version above the one turned to,
and a withdrawn version comes back by `promote` alone:

- The same models pushed again find their withdrawn version and are left there; the push is told so. So a
  pipeline that runs every night does not undo the rollback of the evening.
- Other models become the next version and go into service: they are what the rollback was waiting for.
- A rollback passes over what was withdrawn before.
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
    """Where a bundle stands.

    Attributes:
      version: its version, an integer from 1.
      path: its folder, or its URI.
      new: False where a version already held the same identity.
      in_service: False where an operator took that version out of service.
    """

    version: int
    path: str
    new: bool
    in_service: bool = True


@dataclasses.dataclass(frozen=True)
class Turn:
    """A change of the version in service by an operator; the versions, 0 for none."""

    before: int
    after: int


def publish(bundle: str, destination: str, keep: int = KEEP_VERSIONS) -> Published:
    """Publish a bundle, or find it published; either way leave links and pointer whole.

    Compared are the version in service, those withdrawn, and the newest: models pushed again after others are
    a new decision.

    Args:
      bundle: a complete bundle with its manifest; left as it is.
      destination: where to publish to; made where absent.
      keep: how many of the newest versions stay; what is in service, and what a rollback would turn to, do
        in any case.
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


def find(destination: str, identity: str) -> Published | None:
    """Find and repair the version that publishing this identity would end at; None where it would be new."""
    store = open_store(destination)
    if not store.versions():
        return None
    with store.locked():
        return _find(store, identity)


def fetch(destination: str, version: int, folder: str) -> None:
    """Copy a published bundle to a local folder."""
    open_store(destination).fetch(version, folder)


def rollback_target(store: Store, service: int) -> int:
    """Version that a rollback turns to: the next below that was not withdrawn; 0 where there is none."""
    withdrawn = read_withdrawn(store)
    earlier = [version for version in store.versions() if version < service and version not in withdrawn]
    return max(earlier, default=0)


def rollback(destination: str) -> Turn:
    """Turn to the version before the one in service, verified first.

    Raises:
      ValueError: there is none, or it is damaged.
    """
    store = open_store(destination)
    _require_versions(store)
    with store.locked():
        service = store.current()
        target = rollback_target(store, service)
        if not target:
            raise ValueError(
                f"A rollback needs a version before the one in service, {service or 'none'}; {destination} "
                "holds no such version that was not withdrawn. Choose one by `promote`."
            )
        return _turn(store, target)


def promote(destination: str, version: int) -> Turn:
    """Turn to a given version, verified first.

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
        return _turn(store, version)


def _require_versions(store: Store) -> None:
    if not store.versions():
        raise ValueError(f"{store.location} must hold a published version; it holds none. Push to it first.")


def _turn(store: Store, version: int) -> Turn:
    try:
        verify(store, version)
    except ValueError as error:
        raise ValueError(f"{error} Or `promote` another version.") from error
    before = store.current()
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    moments = read_withdrawn(store)
    withdrawn = {
        other: moments.get(other, now)
        for other in store.versions()
        if other > version or (other in moments and other != version)
    }
    # First, so that a turn that dies here is not undone by a push.
    store.write(layout.WITHDRAWN, json.dumps(withdrawn) + "\n")
    _serve(store, version)
    return Turn(before, version)


def _find(store: Store, identity: str) -> Published | None:
    service, withdrawn = store.current(), read_withdrawn(store)
    if _is_intact(store, service, identity):
        return _in_service(store, service)
    for version in sorted(withdrawn, reverse=True):
        if _has_identity(store, version, identity):
            return Published(version, bundle_path(store, version), new=False, in_service=False)
    # Not in service, and not withdrawn: its publisher died before it pointed.
    if _is_intact(store, newest(store), identity):
        return _in_service(store, newest(store))
    return None


def _in_service(store: Store, version: int) -> Published:
    _serve(store, version)
    return Published(version, bundle_path(store, version), new=False)


def _has_identity(store: Store, version: int, identity: str) -> bool:
    try:
        return read_manifest(store, version)["identity"] == identity
    except ValueError:
        return False


def _is_intact(store: Store, version: int, identity: str) -> bool:
    """Whether a version is of this identity and undamaged; a damaged one is published anew."""
    try:
        return _has_identity(store, version, identity) and bool(verify(store, version))
    except ValueError:
        return False


def _serve(store: Store, version: int) -> None:
    """Put a version in service: for who follows `current`, and for TF Serving.

    All versions up to it are linked, not it alone: a publisher that died after its rename left no links.
    Those above are not, nor what was withdrawn: a TF Serving without our configuration serves the highest it
    sees. At no moment does a configuration name a version that is not linked.
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
    # The version that a rollback would turn to beside it.
    _configure(store, {other: served[other] for other in sorted(served, reverse=True)[:2]})
    _unlink(store, set(store.versions()) - set(served))


def _configure(store: Store, models_of: dict[int, dict[str, dict[str, bool]]]) -> None:
    """Write TF Serving's configurations: what it has to load.

    Args:
      store: of the destination.
      models_of: the models of the version in service, then those of the one before, by version.
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
    """A version's SavedModels; none where its manifest is damaged."""
    try:
        return read_manifest(store, version)["models"]
    except ValueError:
        return {}


def _retire(store: Store, keep: int) -> None:
    """Remove what is neither among the last `keep` versions, nor in service, nor what a rollback needs."""
    service = store.current()
    kept = {*store.versions()[-keep:], service, rollback_target(store, service)}
    obsolete = [version for version in store.versions() if version not in kept]
    _unlink(store, obsolete)
    for version in obsolete:
        store.remove(version)


def _unlink(store: Store, versions: Collection[int]) -> None:
    for version in versions:
        store.unlink(version)
