"""Tells systemd how the daemon is (sd_notify): ready, reloading, stopping, alive. Elsewhere it does nothing."""

import os
import socket
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from marketsync.adapter.clock import Clock

USEC: Final = 1_000_000

_log = structlog.get_logger(__name__)


class Notifier:
    """Sends datagrams to ``NOTIFY_SOCKET``; without that variable nothing is sent.

    A message that cannot be sent is logged once and costs nothing else: the work goes on.
    """

    def __init__(self, clock: Clock, environ: Mapping[str, str] = os.environ) -> None:
        self._clock = clock
        self._address = _socket_address(environ.get("NOTIFY_SOCKET", ""))
        self._failed = False
        self.watchdog_seconds = _watchdog(environ)
        """After how many silent seconds systemd restarts us; None where it does not watch."""

    @property
    def listened_to(self) -> bool:
        """Whether anybody wants to know."""
        return self._address is not None

    def ready(self, status: str = "") -> None:
        """Started, or done with reloading."""
        self._send("READY=1", status=status)

    def status(self, status: str) -> None:
        """One line for ``systemctl status``."""
        self._send(status=status)

    def reloading(self, status: str = "") -> None:
        """A reload begins; ``ready`` ends it. The clock's ``monotonic`` has to be CLOCK_MONOTONIC, as on Linux."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={int(self._clock.monotonic() * USEC)}", status=status)

    def stopping(self, status: str = "") -> None:
        self._send("STOPPING=1", status=status)

    def extend_timeout(self, seconds: float) -> None:
        """Ask for that much more time to start, reload or stop, from now."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * USEC)}")

    def alive(self) -> None:
        """Stroke the watchdog."""
        self._send("WATCHDOG=1")

    async def keep_alive(self, healthy: Callable[[], bool]) -> None:
        """Stroke the watchdog at half its interval, for ever, while ``healthy``. Returns at once where none watches."""
        if self.watchdog_seconds is None or self._address is None:
            return
        while True:
            if healthy():
                self.alive()
            await self._clock.sleep(self.watchdog_seconds / 2)

    def _send(self, *lines: str, status: str = "") -> None:
        if self._address is None:
            return
        if status:
            lines = (*lines, "STATUS=" + " ".join(status.split()))
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.setblocking(False)
                out.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)
        except OSError as error:
            if not self._failed:
                _log.warning("systemd cannot be told how we are", problem=error.strerror)
            self._failed = True
        else:
            self._failed = False


def _socket_address(value: str) -> str | None:
    """A path, or a name of Linux's abstract namespace written with @; anything else nobody listens to."""
    if value.startswith("@"):
        return "\0" + value[1:]
    return value if value.startswith("/") else None


def _watchdog(environ: Mapping[str, str]) -> float | None:
    interval = environ.get("WATCHDOG_USEC", "")
    meant = environ.get("WATCHDOG_PID", "")
    if not interval.isdecimal() or int(interval) == 0 or (meant and meant != str(os.getpid())):
        return None
    return int(interval) / USEC
