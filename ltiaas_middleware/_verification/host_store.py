"""Shares data between the workers on one machine: small files in a private folder, on a tmpfs if
there is one.

With this, several workers on one machine can serve a browser that blocks cookies without any
configuration. A file's modification time is the time at which it expires. Readers and writers need
no lock, because files appear atomically, through a rename or a link; with one, all threads of all
workers would wait for it in a rush. Only a worker that removes expired files holds a kernel lock,
which is released if the worker is killed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

from .._rare_log import RareLog
from .launches import REJECTED_FOR
from .stats import Stats
from .stores import StoreUnavailable, longest

__all__ = ["HostStore", "private_folder"]

# The maximum size of all files in bytes, as the file system counts them. A launch takes 4,096.
_MOST = 48_000_000
# Seconds between searches for expired files.
_SWEEP_EVERY = 30.0
# Seconds after which a file that is not finished was left by a killed worker.
_UNFINISHED = 60.0
# Seconds to wait for another worker's lock.
_LOCK_TIMEOUT = 1.0
# How long to keep values without an expiry (seconds).
_FOR_GOOD = 10 * 365 * 86_400.0


def private_folder(name: str, bases: tuple[str, ...] | None = None) -> Path | None:
    """A folder that only this user can read, created if necessary. None if that is impossible.

    Its ``name`` identifies the data in it. It is in the first possible one of ``bases``: by default
    ``TMPDIR`` if it is set, ``/dev/shm``, and the system's temporary folder.
    """
    user = os.getuid()
    usual = (os.environ.get("TMPDIR"), "/dev/shm", tempfile.gettempdir())  # noqa: S108 - see below
    for base in bases or filter(None, usual):
        folder = Path(base, f"ltiaas-{user}-{sha256(name.encode()).hexdigest()[:16]}")
        with contextlib.suppress(OSError):
            _make_private(folder)
            return folder
    return None


def _make_private(folder: Path) -> None:
    """Create a folder unless it exists. Raises ``OSError`` if other users have access to it."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    is_private = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077
    if not (is_private and found.st_uid == os.getuid() and os.access(folder, os.W_OK | os.X_OK)):
        raise OSError(errno.EACCES, "the folder is not private")


class HostStore:
    """A ``stores.Store`` in files, in the ``private_folder``."""

    def __init__(
        self,
        folder: Path,
        stats: Stats,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._stats = stats
        self._clock = clock
        self._monotonic = monotonic
        self._rare_log = RareLog(1, 60, monotonic=monotonic)
        self._swept = float("-inf")
        self._bytes = 0

    def get(self, *names: str) -> list[bytes | None]:
        with self._trouble():
            return [self._get(name) for name in names]

    def put(self, name: str, value: bytes, seconds: float) -> None:
        with self._writing(name) as path, self._file(value, seconds) as new:
            os.rename(new, path)

    def put_if_absent(self, name: str, value: bytes, seconds: float | None) -> bool:
        seconds = _FOR_GOOD if seconds is None else seconds
        with self._writing(name) as path:
            if self._get(name) is not None:
                return False
            with self._file(value, seconds) as new:
                if _link(new, path):
                    return True
                with self._locked():
                    if self._get(name) is not None:
                        return False
                    # The file has expired, and only the worker with the lock removes it.
                    path.unlink(missing_ok=True)
                    return _link(new, path)

    def delete(self, name: str) -> None:
        with self._writing(name) as path:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Do nothing: nothing is open."""

    def _get(self, name: str) -> bytes | None:
        try:
            descriptor = os.open(self._path(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        with open(descriptor, "rb", buffering=0) as file:
            if os.fstat(descriptor).st_mtime <= self._clock():
                return None
            return file.read(longest(name))

    def _path(self, name: str) -> Path:
        return self._folder / name.replace(":", ".")

    @contextlib.contextmanager
    def _writing(self, name: str) -> Iterator[Path]:
        with self._trouble():
            now = self._monotonic()
            if now - self._swept >= _SWEEP_EVERY or self._bytes > _MOST:
                self._swept = now
                self._sweep()
            # Create the folder again if it was deleted; systemd deletes old folders in /tmp.
            _make_private(self._folder)
            yield self._path(name)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            until = time.monotonic() + _LOCK_TIMEOUT
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= until:
                        why = f"another worker kept it locked for {_LOCK_TIMEOUT:g} s"
                        raise OSError(errno.EAGAIN, why) from None
                    time.sleep(0.001)
            yield
        finally:
            # Closing is not enough: a child that was forked meanwhile also has the descriptor.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    @contextlib.contextmanager
    def _file(self, value: bytes, seconds: float) -> Iterator[str]:
        """A temporary file that no other worker sees yet."""
        descriptor, path = tempfile.mkstemp(prefix="new-", dir=self._folder)
        try:
            with open(descriptor, "wb") as file:
                file.write(value)
            until = self._clock() + seconds
            os.utime(path, (until, until))
            self._bytes += max(4096, len(value))
            yield path
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def _sweep(self) -> None:
        """Remove expired files and, if that is not enough, others (``_worth``)."""
        now, kept, bound = self._clock(), [], set()
        _make_private(self._folder)
        for entry in os.scandir(self._folder):
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if entry.name == "lock":
                continue
            if entry.name.startswith("new-"):
                if time.time() - found.st_ctime > _UNFINISHED:
                    # A killed worker left it.
                    Path(entry.path).unlink(missing_ok=True)
            elif found.st_mtime <= now:
                self._remove(entry.path, found)
            else:
                kept.append((entry.path, found))
                of, _, kind = entry.path.rpartition(".")
                if kind == "bound":
                    bound.add(of)
        self._bytes = sum(_size(found) for _, found in kept)
        for path, found in sorted(kept, key=lambda one: _worth(one[0], one[1], bound, now)):
            if self._bytes <= _MOST * 3 // 4:
                break
            self._remove(path, found)
            self._bytes -= _size(found)

    def _remove(self, path: str, found: os.stat_result) -> None:
        """Remove a file unless it was replaced or removed since it was found. The lock is held for
        one file at a time, because in a busy process thousands take seconds, for which other
        workers do not wait."""
        gone = f"{self._folder}/new-{secrets.token_hex(8)}"
        with self._locked(), contextlib.suppress(FileNotFoundError):
            # Writers need no lock, so look at what was removed.
            os.rename(path, gone)
            if _version(os.stat(gone, follow_symlinks=False)) != _version(found):
                _link(gone, path)
            os.unlink(gone)

    @contextlib.contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            why = error.strerror or type(error).__name__
        else:
            return
        self._stats.count("store_errors")
        self._rare_log.warning(
            why,
            "cannot use the folder %s (%s), so workers on this machine do not share launches. Fix "
            "the folder, or set cache (LTIAAS_CACHE) to a Redis URL",
            self._folder,
            why,
        )
        raise StoreUnavailable(read_only=True)


def _link(new: str, path: str | Path) -> bool:
    """Like O_EXCL, but the file has its content and expiry from the beginning."""
    try:
        os.link(new, path)
    except FileExistsError:
        return False
    return True


def _worth(path: str, found: os.stat_result, bound: set[str], now: float) -> tuple[int, float]:
    """What a full store removes first. A launch whose cookie has come back costs one call to
    LTIAAS. That an ltik was rejected lately protects nothing, and strangers choose how often it
    happens. Everything else goes in the order in which it ends, and last, that a launch is over."""
    until = found.st_mtime
    of, _, kind = path.rpartition(".")
    if kind == "over":
        return (2 if until > now + REJECTED_FOR else 0), until
    return (0 if kind == "launch" and of in bound else 1), until


def _size(found: os.stat_result) -> int:
    return max(4096, found.st_blocks * 512)


def _version(found: os.stat_result) -> tuple[int, int]:
    return found.st_ino, found.st_mtime_ns
