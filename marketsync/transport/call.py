"""One request of an operation, ready to be sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from marketsync.adapter.errors import ConfigError, Problem
from marketsync.adapter.spec import Operation
from marketsync.transport import document
from marketsync.transport.wire import Unsendable, absolute, origin

READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

Params = Mapping[str, str | int | Sequence[str]]


@dataclass(slots=True, kw_only=True)
class Call:
    """``home``: it goes to the channel's own host, so credentials may travel. Header names in lower case."""

    operation: Operation
    method: str
    url: str
    home: bool
    headers: Mapping[str, str]
    body: bytes | None
    accept: frozenset[int]
    cost: float
    slots: int = 0  # granted so far
    limited: bool = False  # our own bucket refused: waiting is the ledger's business

    @property
    def write(self) -> bool:
        return self.operation.writes and self.method not in READS

    def wants(self, status: int) -> bool:
        """Whether a reply of this status goes back to the adapter."""
        return 200 <= status < 300 or status in self.accept


class Site:
    """Where a channel lives: its base URL."""

    def __init__(self, url: str, account: str) -> None:
        """Raises ``ConfigError`` where the base URL is none."""
        try:
            base = absolute(url.strip(), None)
            self._origin = origin(base)
        except Unsendable:
            base, self._origin = "", ("", "", None)
        if self._origin[0] not in ("http", "https") or not self._origin[1]:
            hint = "write it as https://shop.example"
            raise ConfigError([Problem(f"account {account}", 0, 0, "", f"{url!r} is no address of a channel", hint)])
        self._base = base.rstrip("/")

    def address(self, path: str, params: Params | None) -> tuple[str, bool]:
        """(the whole URL, whether it is the channel's own host). Raises ``Unsendable``."""
        if path.startswith(("http://", "https://")):
            url = absolute(path, params)
            return url, origin(url) == self._origin
        return absolute(f"{self._base}/{path.removeprefix('/')}", params), True


def body_of(json: Any, content: bytes | None) -> tuple[bytes | None, Mapping[str, str]]:
    """The body and the headers that describe it. Raises ``Unsendable``."""
    if json is None:
        return content, {"accept": "application/json"}
    try:
        return document.dumps(json), {"accept": "application/json", "content-type": "application/json"}
    except ValueError as error:
        raise Unsendable(str(error)) from error


def lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
