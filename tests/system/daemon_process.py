"""The daemon as its users run it: a process of its own, killed and started again."""

import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.system.command import MARKETSYNC, ROOT
from tests.system.command import environ as command_environ

PATIENCE = 40.0  # seconds: a killed daemon's lease on PostgreSQL lasts 15


class DaemonProcess:
    """One daemon on one configuration. Its log goes to a file beside it."""

    def __init__(self, config: Path, *, port: int, environ: dict[str, str] | None = None) -> None:
        self.config = config
        self.url = f"http://127.0.0.1:{port}"
        self.log = config.with_name("daemon.log")
        self.starts = 0
        self._environ = {**command_environ(), **(environ or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.starts += 1
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*MARKETSYNC, "--config", str(self.config), "--log-format", "json", "run"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,  # and so first on the path
                env=self._environ,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        assert self._process is not None
        return self._process.poll()

    def kill(self) -> None:
        """As a power cut would: at once, without a word."""
        self._signal(signal.SIGKILL)
        self._ended(PATIENCE)

    def stop(self) -> int:
        """SIGTERM, and wait for the end. Returns the exit code."""
        self._signal(signal.SIGTERM)
        return self._ended(PATIENCE)

    def reload(self) -> None:
        self._signal(signal.SIGHUP)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Wait for a daemon that ends by itself."""
        return self._ended(seconds)

    def ready(self) -> None:
        """Wait until /readyz says so. Raises AssertionError with the end of the log where it never does."""
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends:
            if self.exit_code is not None:
                break
            if self.get("/readyz")[0] == 200:
                return
            time.sleep(0.05)
        raise AssertionError(f"the daemon is not ready:\n{self.tail()}")

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of the daemon's own pages; status 0 while nobody listens."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(number)

    def _ended(self, seconds: float) -> int:
        assert self._process is not None
        return self._process.wait(seconds)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
