"""What comes back from the seller's systems: shipments, cancellations and returns, as JSON documents.

The same documents arrive over HTTP and in the watched folder. ``key`` makes them idempotent: it is the sender's own id,
and a document whose key was taken before changes nothing.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, NoReturn

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from marketsync.adapter.errors import MarketsyncError
from marketsync.adapter.money import Money

# No control characters: they are never meant, and a database refuses some of them.
_PRINTABLE: Final = r"^[^\x00-\x1f\x7f]*$"
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=_PRINTABLE)]
Words = Annotated[str, StringConstraints(strip_whitespace=True, max_length=500, pattern=_PRINTABLE)]
Pieces = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
_WHEN: Final = "must be a time such as 2026-03-01T12:00:00+01:00"


def _written(value: Any) -> Any:
    if isinstance(value, str | datetime | None):
        return value
    raise ValueError(_WHEN)  # a bare number would be taken for seconds since 1970


Moment = Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(lambda value: value.astimezone(UTC))]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Amount(_Model):
    """Money as a decimal in whole currency units and an ISO 4217 code: {"amount": "12.90", "currency": "EUR"}."""

    amount: Decimal = Field(ge=0, le=10_000_000)
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]

    @model_validator(mode="after")
    def _in_minor_units(self) -> "Amount":
        if self.money.decimal != self.amount:
            raise ValueError(f"has more decimals than {self.currency} allows")
        return self

    @property
    def money(self) -> Money:
        return Money.of(self.amount, self.currency)


class Line(_Model):
    """Pieces of one order line, named by the channel's line id or, where that is clear, by the channel SKU."""

    line: Name | None = None
    sku: Name | None = None
    quantity: Pieces

    @model_validator(mode="after")
    def _named(self) -> "Line":
        if self.line is None and self.sku is None:
            raise ValueError("names no line, write line or sku")
        return self


class ReturnedLine(Line):
    """``sellable``: may go back to stock; None while nobody has looked. ``refund``: for all its pieces together."""

    sellable: bool | None = None
    refund: Amount | None = None


class _Document(_Model):
    key: Name
    channel: Name  # as the configuration names it
    order: Name  # the channel's own order id


class Shipment(_Document):
    """Pieces left the house. No lines: all that is still open."""

    lines: tuple[Line, ...] = ()
    carrier: Words = ""
    tracking: Words = ""
    return_tracking: Words = ""
    shipped_at: Moment | None = None


class Cancellation(_Document):
    """Pieces will not be shipped. No lines: all that is still open."""

    lines: tuple[Line, ...] = ()
    reason: Words = ""


class Return(_Document):
    """Pieces came back, or a return was decided on. Restocked is what was received and is sellable."""

    lines: Annotated[tuple[ReturnedLine, ...], Field(min_length=1)]
    state: Literal["requested", "received", "refunded", "rejected"] = "received"
    reason: Words = ""


Document = Shipment | Cancellation | Return
KINDS: Final[Mapping[str, type[Shipment] | type[Cancellation] | type[Return]]] = {
    "shipments": Shipment,
    "cancellations": Cancellation,
    "returns": Return,
}


@dataclass(frozen=True, slots=True)
class DocumentProblem:
    """What is wrong with one entry (counted from 1; 0: the whole document) and where in it."""

    entry: int
    field: str
    message: str

    def __str__(self) -> str:
        where = f"entry {self.entry}: " if self.entry else ""
        return where + (f"{self.field}: " if self.field else "") + self.message


class BadDocument(MarketsyncError):
    """A document cannot be used; nothing of it was taken."""

    def __init__(self, problems: Sequence[DocumentProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


def read_documents(kind: str, body: bytes) -> Sequence[Document]:
    """The documents in a JSON object or list of ``kind`` (a key of ``KINDS``), in order.

    Raises BadDocument with every problem of every entry; then none of them is to be taken.
    """
    try:
        content = json.loads(body.decode("utf-8-sig"), parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise BadDocument([DocumentProblem(0, "", _no_json(error))]) from None
    entries = content if isinstance(content, list) else [content]
    if not entries:
        raise BadDocument([DocumentProblem(0, "", "the list is empty, send at least one entry")])
    documents: list[Document] = []
    problems: list[DocumentProblem] = []
    for number, entry in enumerate(entries, 1):
        try:
            documents.append(KINDS[kind].model_validate(entry))
        except ValidationError as error:
            problems += [_problem(KINDS[kind], number, detail) for detail in _causes(error)]
    if problems:
        raise BadDocument(problems)
    return documents


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _no_json(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"is no JSON: {error.msg} in line {error.lineno}, column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return "is no JSON in UTF-8, send it in that encoding"
    return "is nested too deeply" if isinstance(error, RecursionError) else f"is no JSON: {error}"


_SENTENCES: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "string_type": "must be a text in quotes",
    "string_too_short": "must not be empty",
    "string_too_long": "is too long, {max_length} characters are the most",
    "string_unicode": "holds characters that are no Unicode",
    "int_type": "must be a whole number without quotes",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "too_short": "must not be empty",
    "tuple_type": "must be a list",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "literal_error": "must be {expected}",
    "model_type": "must be a JSON object",
    "timezone_aware": "has no time zone, write it as 2026-03-01T12:00:00+01:00",
    "datetime_type": _WHEN,
    "datetime_parsing": _WHEN,
    "datetime_from_date_parsing": _WHEN,
    "decimal_type": "must be an amount such as 12.90",
    "decimal_parsing": "must be an amount such as 12.90",
    "finite_number": "must be an amount such as 12.90",
}


def _causes(error: ValidationError) -> list[ErrorDetails]:
    """Pydantic counts a list whose entries are all wrong as an empty one, too: that is no problem of its own."""
    details = error.errors(include_url=False)
    inner = {detail["loc"][0] for detail in details if len(detail["loc"]) > 1}
    return [detail for detail in details if not (detail["type"] == "too_short" and detail["loc"][0] in inner)]


def _problem(model: type[BaseModel], entry: int, detail: ErrorDetails) -> DocumentProblem:
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"]).lstrip(".")
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        message = "is not a field" + _nearest(model, detail["loc"])
    elif kind == "value_error":
        message = str(context["error"])
    elif kind == "string_pattern_mismatch":
        currency = field.endswith("currency")
        message = "must be a code such as EUR" if currency else "holds control characters, such as a line break"
    else:
        message = _SENTENCES[kind].format(**context) if kind in _SENTENCES else detail["msg"]
    return DocumentProblem(entry, field, message)


def _nearest(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    names: Any = model.model_fields
    if location[0] == "lines":
        line = ReturnedLine if model is Return else Line
        names = Amount.model_fields if "refund" in location[:-1] else line.model_fields
    near = difflib.get_close_matches(str(location[-1]), list(names), n=1)
    return f", did you mean {near[0]}?" if near else f", known are {', '.join(names)}"
