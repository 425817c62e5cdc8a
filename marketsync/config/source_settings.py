"""One entry of ``sources:``: where a catalogue, a stock figure or overrides come from, and how to read them."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from marketsync.config.schedule import Schedule
from marketsync.config.section import LocalPath, NonEmpty, Section
from marketsync.domain.guards import SourceGuards
from marketsync.domain.item import FIELD_GROUPS, ITEM_FIELDS
from marketsync.domain.scalars import CurrencyCode, Duration

# What a source may own: a group of fields, a single field, stock, or the overrides.
OWNABLE = frozenset(FIELD_GROUPS) | ITEM_FIELDS | {"stock", "overrides"}


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _ownable(value: str) -> str:
    if value not in OWNABLE:
        raise ValueError(
            f"{value!r} is nothing that a source can own: name content, price, cost, stock, overrides or one field"
        )
    return value


def _url(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


def _web_url(value: str) -> str:
    if not re.match(_URL, value):
        raise ValueError("it is no URL, write http:// or https:// and the rest of it")
    return value


_URL = r"^https?://[^\s/]+"
HttpUrl = Annotated[str, AfterValidator(_web_url), WithJsonSchema({"type": "string", "pattern": _URL})]
_OwnableName = Annotated[str, WithJsonSchema({"type": "string", "enum": sorted(OWNABLE)})]
Owned = Annotated[str, AfterValidator(_ownable)]


class HttpSettings(Section):
    """A file fetched over HTTP; ``http: https://...`` alone is enough where nothing else is needed."""

    url: HttpUrl
    headers: Mapping[str, SecretStr] = Field(default_factory=dict)
    user: str | None = None
    password: SecretStr | None = None
    max_size: Annotated[int, Field(ge=1)] = 1024
    """In MiB; a larger reply is refused."""


class SqlSettings(Section):
    """The rows of a query, over any SQLAlchemy URL."""

    url: SecretStr
    query: NonEmpty


class SourceSettings(Section):
    """One source. Exactly one of ``file``, ``http``, ``sql`` and ``channel`` is set."""

    file: LocalPath | None = None
    """A path or a pattern such as exports/*.csv."""
    http: Annotated[HttpSettings | None, BeforeValidator(_url, json_schema_input_type=str | HttpSettings | None)] = None
    sql: SqlSettings | None = None
    channel: str | None = None
    """The channel that is master of its stock: read from there."""
    every: Schedule = Schedule.parse("10m")
    owns: Annotated[
        frozenset[Owned],
        Field(min_length=1),
        BeforeValidator(_as_list, json_schema_input_type=_OwnableName | list[_OwnableName]),
    ]
    priority: int = 0
    """Where two sources own a field of a SKU, the higher one counts."""

    prices: Literal["gross", "net"] = "gross"
    costs: Literal["gross", "net"] = "net"
    currency: CurrencyCode = "EUR"
    """Of prices and costs that name none themselves."""
    time_zone: ZoneInfo | None = None
    """Of times without one; left out: the top level's."""

    location: NonEmpty = "main"
    """Where the pieces lie, for a source that names no locations itself."""
    on_hand: Literal["source", "ledger", "channel"] = "ledger"
    """Who knows how many pieces there are; falls_at implies source, channel channel."""
    falls_at: Literal["order", "delivery", "shipment", "never"] | None = None
    """When the figure of a source that owns on hand falls by itself."""
    max_age: Duration | None = None
    """An older snapshot counts as stale."""
    guards: SourceGuards = SourceGuards()

    format: Literal["csv", "xlsx", "jsonl", "xml"] | None = None
    """Left out: recognised."""
    columns: Mapping[str, str] = Field(default_factory=dict)
    """Field of marketsync: column of the source."""
    encoding: str | None = None
    delimiter: Annotated[str, StringConstraints(min_length=1, max_length=1)] | None = None
    decimal: Literal[",", "."] | None = None
    sheet: str | None = None
    make_skus: bool = False
    """Make a SKU from handle and options where a row has none."""

    @property
    def kind(self) -> Literal["file", "http", "sql", "channel"]:
        """Which reader serves it."""
        if self.file is not None:
            return "file"
        if self.http is not None:
            return "http"
        return "sql" if self.sql is not None else "channel"

    def owned_fields(self) -> frozenset[str]:
        """The Item fields it owns, groups taken apart; stock and overrides are no Item fields."""
        fields = frozenset[str]().union(*(FIELD_GROUPS.get(name, {name}) for name in self.owns))
        return fields & ITEM_FIELDS

    @model_validator(mode="before")
    @classmethod
    def _who_knows_on_hand(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("on_hand") is None:
            if data.get("falls_at") is not None:
                return data | {"on_hand": "source"}
            if data.get("channel") is not None:
                return data | {"on_hand": "channel"}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if [self.file, self.http, self.sql, self.channel].count(None) != 3:
            raise ValueError("a source reads exactly one of file, http, sql and channel")
        if (self.on_hand == "channel") != (self.channel is not None):
            raise ValueError("on_hand: channel and channel: NAME belong together")
        if (self.on_hand == "source") != (self.falls_at is not None):
            raise ValueError("on_hand: source needs falls_at (order, delivery, shipment or never), and only it has one")
        if self.channel is not None and self.owns != {"stock"}:
            raise ValueError("of a channel only the stock is read: write owns: [stock]")
        if "overrides" in self.owns and len(self.owns) > 1:
            raise ValueError("a source of overrides owns nothing else: give the other fields a source of their own")
        return self
