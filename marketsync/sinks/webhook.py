"""A sink that takes one signed POST per order revision.

The receiver checks ``Marketsync-Signature``: hex HMAC-SHA256 of ``timestamp + "." + body`` with the shared secret.
"""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from typing import Protocol

from marketsync.adapter.clock import Clock
from marketsync.adapter.errors import AdapterError, UnexpectedReply
from marketsync.sinks.api import SinkError, SinkOrder
from marketsync.transport.post import post

TIMEOUT = 30.0
LATER = frozenset({408, 409, 425, 429})  # the only 4xx that say nothing of the document


class _Answer(Protocol):
    @property
    def status(self) -> int: ...


Post = Callable[[str, bytes, Mapping[str, str], float], Awaitable[_Answer]]


class WebhookSink:
    """Posts to one URL."""

    def __init__(self, url: str, secret: str, clock: Clock, send: Post = post) -> None:
        self._url = url
        self._secret = secret.encode()
        self._clock = clock
        self._send = send

    async def deliver(self, order: SinkOrder) -> None:
        """Any 2xx is a yes. A 4xx that concerns the document is not retryable; everything else is."""
        timestamp = str(int(self._clock.now().timestamp()))
        headers = {
            "Content-Type": "application/json",
            "Marketsync-Key": _header(order.key),
            "Marketsync-Revision": str(order.revision),
            "Marketsync-Timestamp": timestamp,
            "Marketsync-Signature": signature(self._secret, timestamp, order.document),
        }
        try:
            answer = await self._send(self._url, order.document, headers, TIMEOUT)
        except UnexpectedReply as error:
            raise SinkError(str(error), retryable=False) from error
        except AdapterError as error:
            raise SinkError(str(error), retryable=True) from error
        if not 200 <= answer.status < 300:
            refused = 400 <= answer.status < 500 and answer.status not in LATER
            raise SinkError(f"the webhook answered {answer.status}", retryable=not refused)


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """What ``Marketsync-Signature`` holds."""
    return hmac.new(secret, timestamp.encode() + b"." + body, sha256).hexdigest()


def _header(text: str) -> str:
    """Ids of channels may hold what no header may: those characters are written as %XX."""
    return "".join(c if " " < c < "\x7f" and c != "%" else "".join(f"%{b:02X}" for b in c.encode()) for c in text)
