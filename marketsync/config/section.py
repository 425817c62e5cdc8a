"""What every section of the configuration is built from: a frozen model, names, paths, addresses to listen at."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic import StringConstraints as Text
from pydantic_core import CoreSchema, core_schema

from marketsync.domain.scalars import RULES

_BIND = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})")


class Section(BaseModel):
    """A mapping of the configuration. Keys it does not know are refused."""

    model_config = RULES


def _beside_configuration(value: str, info: ValidationInfo) -> str:
    context: Any = info.context or {}
    base: Path | None = context.get("base")
    return value if base is None else str(base / value)


NonEmpty = Annotated[str, Text(min_length=1)]

# A path or a pattern of paths; a relative one starts at the folder of the main configuration file.
LocalPath = Annotated[str, Text(min_length=1), AfterValidator(_beside_configuration)]

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


def name_of(value: str) -> str:
    """The name of a channel, an account, a source or a sink. Raises ValueError for what is none."""
    if len(value) > 64 or not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} is no name, write small letters, digits and single hyphens, at most 64")
    return value


# It becomes a label of metrics and part of URLs.
Name = Annotated[str, AfterValidator(name_of)]


@dataclass(frozen=True, slots=True)
class Bind:
    """An address to listen at, written ``127.0.0.1:9464`` or ``[::1]:9464``."""

    host: str
    port: int

    @classmethod
    def parse(cls, value: Any) -> Self:
        """Raises ValueError for what is no address with a port."""
        if isinstance(value, cls):
            return value
        match = _BIND.fullmatch(value) if isinstance(value, str) else None
        if match is None or not 1 <= int(match[2]) <= 65535:
            raise ValueError(f"{value!r} is no address to listen at: write host and port, such as 127.0.0.1:9464")
        return cls(match[1].strip("[]"), int(match[2]))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.parse, serialization=core_schema.to_string_ser_schema())

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{_BIND.pattern}$", "examples": ["127.0.0.1:9464"]}
