"""What every store keeps to: the memory of a process, the files of a machine, and Redis."""

from __future__ import annotations

import os
import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest

from ltiaas_middleware import Settings
from ltiaas_middleware._verification.host_store import HostStore, private_folder
from ltiaas_middleware._verification.stats import Stats
from ltiaas_middleware._verification.stores import MemoryStore, changing, longest


def memory(request, clock):
    store = MemoryStore(lambda: clock.wall)
    return store, store


def of_this_host(request, clock):
    base = str(request.getfixturevalue("tmp_path"))
    return tuple(
        HostStore(private_folder("contract", (base,)), Stats(), clock=lambda: clock.wall)
        for _ in range(2)
    )


def in_redis(address):
    def make(request, clock):
        from ltiaas_middleware._verification.redis_store import RedisStore

        cache = getattr(request.getfixturevalue("redis_server"), address)
        settings = Settings(url="https://your.ltiaas.com", api_key="key-key-key", cache=cache)
        return tuple(RedisStore(settings, Stats()) for _ in range(2))

    return make


@pytest.fixture(
    params=[
        pytest.param(memory, id="memory"),
        pytest.param(of_this_host, id="host"),
        pytest.param(in_redis("url"), id="redis", marks=pytest.mark.redis),
        pytest.param(in_redis("socket_url"), id="redis by socket", marks=pytest.mark.redis),
    ]
)
def stores(request, clock):
    """Two workers' ends of one store."""
    made = request.param(request, clock)
    yield made
    for store in made:
        store.close()


@pytest.fixture
def pass_(stores, clock):
    """Let time pass, by the clock that the store has."""
    own_clock = "Redis" in type(stores[0]).__name__

    def pass_(seconds):
        if own_clock:
            client = stores[0]._client
            for key in client.scan_iter():
                left = client.pttl(key)
                if left >= 0:
                    client.pexpire(key, max(0, left - int(seconds * 1000)))
        else:
            clock.pass_(seconds)

    return pass_


def _firsts(stores, name):
    """How many of 64 that put a value at once are told that there was none."""
    with ThreadPoolExecutor(16) as pool:
        return sum(pool.map(lambda n: stores[n % 2].put_if_absent(name, b"x", 60), range(64)))


NAME, OTHER = "AAAAAAAAAAAAAAAAAAAAAA:launch", "AAAAAAAAAAAAAAAAAAAAAA:bound"


def test_what_was_put_is_got_by_all(stores):
    ours, theirs = stores
    ours.put(NAME, b"value", 60)
    assert theirs.get(NAME) == [b"value"]
    assert theirs.get(OTHER, NAME) == [None, b"value"]


def test_what_was_not_put_is_not_got(stores):
    assert stores[0].get(NAME, OTHER) == [None, None]


def test_a_later_value_takes_the_place_of_an_earlier_one(stores):
    ours, theirs = stores
    ours.put(NAME, b"first", 60)
    theirs.put(NAME, b"second", 60)
    assert ours.get(NAME) == [b"second"]


def test_put_if_absent_puts_what_is_absent_only(stores):
    ours, theirs = stores
    assert ours.put_if_absent(NAME, b"first", 60)
    assert not theirs.put_if_absent(NAME, b"second", 60)
    assert not ours.put_if_absent(NAME, b"third", None)
    assert theirs.get(NAME) == [b"first"]


def test_of_many_who_put_at_once_one_is_the_first(stores):
    for _ in range(5):
        assert _firsts(stores, f"{secrets.token_urlsafe(16)}:used") == 1


def test_everything_expires(stores, pass_):
    ours, theirs = stores
    ours.put(NAME, b"value", 60)
    assert ours.put_if_absent(OTHER, b"value", 60)
    pass_(59)
    assert theirs.get(NAME, OTHER) == [b"value", b"value"]
    pass_(2)
    assert theirs.get(NAME, OTHER) == [None, None]


def test_what_has_expired_is_absent_for_one_of_many(stores, pass_):
    ours, _ = stores
    for _ in range(5):
        assert ours.put_if_absent(OTHER, b"old", 1)
        pass_(2)
        assert _firsts(stores, OTHER) == 1
        pass_(61)


def test_but_not_what_is_kept_for_good(stores, pass_):
    ours, theirs = stores
    assert ours.put_if_absent("AAAAAAAAAAAAAAAAAAAAAA:epoch", b"value", None)
    pass_(86_400 * 300)
    assert theirs.get("AAAAAAAAAAAAAAAAAAAAAA:epoch") == [b"value"]


def test_what_was_deleted_is_absent(stores):
    ours, theirs = stores
    ours.put(NAME, b"value", 60)
    theirs.delete(NAME)
    theirs.delete(NAME)
    assert ours.get(NAME) == [None]
    assert ours.put_if_absent(NAME, b"another", 60)


def test_who_took_too_long_to_change_something_ends_no_others_turn(stores, pass_):
    one, other = (changing(store, "0" * 22 + ":changing") for store in stores)
    one.__enter__()
    pass_(3)
    other.__enter__()
    one.__exit__(None, None, None)
    assert stores[0].get("0" * 22 + ":changing") != [None]
    other.__exit__(None, None, None)
    assert stores[0].get("0" * 22 + ":changing") == [None]


def test_of_what_is_longer_than_ours_no_more_is_read(stores):
    ours, theirs = stores
    if isinstance(ours, MemoryStore):
        pytest.skip("nobody else can write there")
    ours.put(NAME, b"x" * 4_000_000, 60)
    ours.put(OTHER, b"x" * 100_000, 60)
    launch, mark = theirs.get(NAME, OTHER)
    assert len(launch) <= longest(NAME) + 1
    assert len(mark) <= longest(OTHER) + 1 < 1000


class TestFiles:
    @pytest.fixture
    def folder(self, tmp_path):
        return private_folder("files", (str(tmp_path),))

    @pytest.fixture
    def store(self, folder, clock):
        return HostStore(
            folder,
            Stats(),
            clock=lambda: clock.wall,
            monotonic=lambda: clock.since_boot,
        )

    def test_are_private(self, folder, store):
        store.put(NAME, b"value", 60)
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o077 for path in folder.iterdir()} == {0}

    @pytest.mark.parametrize("how", ["readable by others", "a link", "a file"])
    def test_are_in_no_folder_that_is_not(self, tmp_path, how):
        base = tmp_path / "base"
        base.mkdir()
        taken = private_folder("files", (str(base),))
        taken.rmdir()
        if how == "a link":
            (tmp_path / "elsewhere").mkdir(mode=0o700)
            taken.symlink_to(tmp_path / "elsewhere")
        elif how == "a file":
            taken.write_text("")
        else:
            taken.mkdir(mode=0o755)
        assert private_folder("files", (str(base),)) is None
        other = tmp_path / "other"
        other.mkdir()
        assert private_folder("files", (str(base), str(other))).parent == other

    def test_that_have_expired_are_removed(self, folder, store, clock):
        for number in range(20):
            store.put(f"{number:022}:launch", b"value", 60)
        store.put(NAME, b"value", 600)
        clock.pass_(61)
        store.put(OTHER, b"value", 60)
        assert len(list(folder.glob("*.launch"))) == 1

    @staticmethod
    def found(store, kind, numbers):
        return sum(store.get(f"{number:022}:{kind}") != [None] for number in numbers)

    def test_are_bounded_and_marks_stay(self, folder, store, monkeypatch):
        monkeypatch.setattr("ltiaas_middleware._verification.host_store._MOST", 400_000)
        for number in range(500):
            store.put(f"{number:022}:launch", b"x" * 500, 600 + number)
            if number % 10 == 0:
                store.put_if_absent(f"{number:022}:bound", b"x", 600 + number)
                store.put(f"{number:022}:over", b"x", 600 + number)
        assert sum(path.stat().st_blocks * 512 for path in folder.iterdir()) < 450_000
        assert self.found(store, "over", range(0, 500, 10)) == 50
        # Of the others, those that end last.
        assert self.found(store, "bound", range(480, 500, 10)) == 2
        assert self.found(store, "launch", range(491, 500)) == 9

    def test_of_launches_with_cookies_make_room_for_those_without(self, store, clock, monkeypatch):
        """A busy day: the marks alone would fill the folder. In browsers that block cookies, a
        launch works nowhere else."""
        monkeypatch.setattr("ltiaas_middleware._verification.host_store._MOST", 400_000)
        for number in range(500):
            store.put(f"{number:022}:launch", b"x" * 500, 86_400)
            if number % 10:
                store.put_if_absent(f"{number:022}:bound", b"x", 86_400)
            clock.pass_(20)
        assert self.found(store, "launch", range(450, 500, 10)) == 5
        assert self.found(store, "bound", range(450, 500)) == 45

    def test_of_rejected_ltiks_take_no_launch_its_place(self, store, monkeypatch):
        monkeypatch.setattr("ltiaas_middleware._verification.host_store._MOST", 400_000)
        for number in range(50):
            store.put(f"{number:022}:launch", b"x" * 500, 86_400)
        for number in range(50, 500):
            store.put(f"{number:022}:over", b"x", 60)
        assert self.found(store, "launch", range(50)) == 50

    def test_can_be_written_while_another_worker_looks_for_expired_ones(
        self, folder, store, clock, monkeypatch
    ):
        """In a busy process, that takes seconds."""
        other = HostStore(folder, Stats(), clock=lambda: clock.wall)
        other.put(NAME, b"value", 60)
        store.put(OTHER, b"value", 60)
        clock.pass_(61)
        scandir = os.scandir

        def slowly(path):
            for entry in list(scandir(path)):
                yield entry
                # Replaced after it was found.
                other.put(OTHER, b"replaced", 60)

        monkeypatch.setattr(os, "scandir", slowly)
        store.put(f"{7:022}:launch", b"value", 60)
        assert store.get(NAME, OTHER) == [None, b"replaced"]
        assert not (folder / NAME.replace(":", ".")).exists()

    def test_are_written_without_waiting_for_a_worker_that_removes_some(self, folder, store):
        """In a rush, all threads of all workers would wait."""
        other = HostStore(folder, Stats())
        store.put(NAME, b"value", 60)
        with other._locked():
            store.put(NAME, b"another", 60)
            assert store.put_if_absent(OTHER, b"value", 60)
            assert not store.put_if_absent(OTHER, b"another", 60)
            assert other.get(NAME, OTHER) == [b"another", b"value"]
            store.delete(NAME)
        assert store.get(NAME) == [None]

    def test_that_a_killed_worker_did_not_finish_are_removed(self, folder, store, monkeypatch):
        store.put(NAME, b"value", 60)
        (folder / "new-x").write_text("half")
        store._sweep()
        assert (folder / "new-x").exists(), "somebody may be writing it"
        monkeypatch.setattr("ltiaas_middleware._verification.host_store._UNFINISHED", -1)
        store._sweep()
        assert not list(folder.glob("new-*"))

    def test_of_a_folder_that_was_taken_away_are_made_anew(self, folder, store):
        store.put(NAME, b"value", 60)
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        assert store.get(NAME) == [None]
        store.put(NAME, b"again", 60)
        assert store.get(NAME) == [b"again"]

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
    def test_of_a_worker_that_was_killed_with_the_lock_hold_up_nobody(self, store):
        child = os.fork()
        if child == 0:
            with store._locked():
                os.kill(os.getpid(), 9)
        os.waitpid(child, 0)
        with store._locked():
            pass

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
    def test_of_a_worker_that_forks_with_the_lock_hold_up_nobody(self, store):
        until_told, tell = os.pipe()
        with store._locked():
            child = os.fork()
            if child == 0:
                os.close(tell)
                os.read(until_told, 1)
                os._exit(0)
        try:
            with store._locked():
                pass
        finally:
            os.close(tell)
            os.waitpid(child, 0)
            os.close(until_told)
