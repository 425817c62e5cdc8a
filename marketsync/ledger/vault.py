"""Seals what must not stand in clear in the ledger: tokens and buyers."""

from typing import Any

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from marketsync.adapter.errors import LedgerError


class Vault:
    """Encrypts small JSON documents with a Fernet key; older keys still open (rotation)."""

    def __init__(self, key: str, *older: str) -> None:
        """``key`` and ``older`` are Fernet keys (44 characters). Raises LedgerError where one is not."""
        try:
            self._fernet = MultiFernet([Fernet(k.encode()) for k in (key, *older)])
        except ValueError:
            message = "the ledger key is not one that `marketsync init` makes: 32 bytes, url-safe base64"
            raise LedgerError(message) from None

    def seal(self, document: Any) -> bytes:
        return self._fernet.encrypt(orjson.dumps(document))

    def open(self, sealed: bytes) -> Any:
        """The document. Raises LedgerError where it was sealed with another key."""
        try:
            return orjson.loads(self._fernet.decrypt(sealed))
        except InvalidToken:
            message = "the ledger was sealed with another key: restore that key, or give it as an older one"
            raise LedgerError(message) from None

    def __repr__(self) -> str:
        return "Vault(***)"
