"""The rules of the rehearsal Kaufland: keys, storefronts, limits, and how long things take."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

CURRENCIES: Mapping[str, str] = {
    "de": "EUR", "cz": "CZK", "sk": "EUR", "pl": "PLN", "at": "EUR", "fr": "EUR", "it": "EUR",
}  # fmt: skip
HIGHEST_PRICE: Mapping[str, int] = {"EUR": 100_000_000, "CZK": 2**31 - 1, "PLN": 450_000_000}
BULK = 150


class Refused(Exception):
    """Kaufland does not do what was asked: status, problem type, sentence, and the fields to blame."""

    def __init__(self, status: int, kind: str, message: str, **fields: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = f"/problems/{kind}" if kind else ""
        self.message = message
        self.fields = fields

    @property
    def errors(self) -> list[dict[str, str]]:
        return [{"field": name, "message": reason} for name, reason in self.fields.items()]

    def document(self) -> dict[str, object]:
        if not self.kind:  # a few endpoints say no more than that nothing is there
            return {"message": self.message}
        return {"type": self.kind, "message": self.message, "errors": self.errors}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How this Kaufland behaves. ``known_eans`` None: its catalogue knows every EAN; else these, and what was made.

    ``per_second`` counts every request of the account, ``burst`` how many of them at once; 0: no limit.
    """

    client_key: str = "0123456789abcdef0123456789abcdef"
    secret_key: str = "a7d0cb1da1ddbc86c96ee5fedd341b7d8ebfbb2f5c83cfe0909f4e57f05dd403"  # noqa: S105 - sells nothing
    storefronts: tuple[str, ...] = ("de", "at", "cz", "sk", "pl", "fr", "it")
    per_second: float = 111
    burst: int = 111
    clock_tolerance: timedelta = timedelta(minutes=5)
    product_time: timedelta = timedelta(seconds=30)
    listed_after: timedelta = timedelta(minutes=5)
    known_eans: frozenset[str] | None = None
    required: tuple[str, ...] = ("title",)  # attributes without which no product is made
    callback_url: str = ""
    vat: int = 19
    shipping: int = 490  # minor units, of each piece
    log_length: int = 500_000
