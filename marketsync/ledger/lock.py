"""One daemon owns a SQLite ledger: the lock file beside it is its lease."""

import fcntl
import os
from pathlib import Path

from marketsync.adapter.errors import Busy, LedgerError
from marketsync.ledger.engine import is_sqlite, sqlite_path


class DaemonLock:
    """Held from the moment it is made until ``release``, or until the process ends, however it does.

    A PostgreSQL ledger has leases instead (``marketsync.ledger.leases``): there it holds nothing.
    """

    def __init__(self, url: str) -> None:
        """Raises Busy where another process owns the ledger, LedgerError where the file cannot be made."""
        self._file = _locked(lock_path(url)) if is_sqlite(url) else None

    def release(self) -> None:
        """Let another daemon have the ledger. Idempotent."""
        if self._file is not None:
            # The file stays: removing it would let two processes lock two files of the same name.
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = None


def lock_path(url: str) -> Path:
    """The lock file of a SQLite ledger."""
    path = sqlite_path(url)
    return path.with_name(path.name + ".lock")


def _locked(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        message = f"the lock file {path} cannot be made: {error.strerror}; let marketsync write to its folder"
        raise LedgerError(message) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(file, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(file)
        message = (
            f"another marketsync owns this ledger (process {owner}): stop it first, or look on with"
            " `marketsync status`, which works beside it"
        )
        raise Busy(message) from None
    os.ftruncate(file, 0)
    os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
    return file
