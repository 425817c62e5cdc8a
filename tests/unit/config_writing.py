"""Configurations for the tests of marketsync.config: written to a folder, loaded with two adapters made for them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator

from marketsync.adapter.errors import AuthRefused
from marketsync.adapter.spec import AdapterSpec, NoAuth
from marketsync.config.loader import LoadResult, load

KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


class Credentials(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    token: SecretStr
    seller: str = ""

    @field_validator("seller")
    @classmethod
    def _short(cls, seller: str) -> str:
        if len(seller) > 20:
            raise ValueError(f"{seller} is too long for a seller")
        return seller


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    storefront: str = "main"
    premium: bool = False
    page_size: int = 100


SHOP = AdapterSpec(
    name="shop",
    title="Shop",
    docs="",
    credentials=Credentials,
    settings=Settings,
    base_url=lambda _credentials, _settings: "http://127.0.0.1",
    auth=lambda _credentials, _settings: NoAuth(),
    operations=(),
    buckets=lambda _settings: (),
    mapping_version={},
    observable={},
    storefront=lambda settings: settings.storefront,
)
TWIN = replace(SHOP, name="twin", stock_shared=True)


class Adapters(dict[str, AdapterSpec]):
    """Of the three installed adapters one cannot be imported."""

    def __missing__(self, name: str) -> AdapterSpec:
        if name == "rotten":
            raise AuthRefused("the adapter rotten cannot be imported: no module named lxml")
        raise KeyError(name)


ADAPTERS = Adapters(shop=SHOP, twin=TWIN)


def write(folder: Path, text: str, **others: str) -> Path:
    """``marketsync.yaml`` with a key in its last line, and further files by name (``a_yaml`` is a.yaml)."""
    for name, content in others.items():
        (folder / name.replace("_", ".")).write_text(dedent(content), "utf-8")
    path = folder / "marketsync.yaml"
    path.write_text(dedent(text).removeprefix("\n") + f"\nkey: {KEY}\n", "utf-8")
    return path


def loaded(folder: Path, text: str, *, environment: Mapping[str, str] | None = None, **others: str) -> LoadResult:
    return load(write(folder, text, **others), adapters=ADAPTERS, environment=environment or {})


def told(folder: Path, text: str, *, environment: Mapping[str, str] | None = None, **others: str) -> list[str]:
    """What a person reads of the problems, without the folder that differs from run to run."""
    result = loaded(folder, text, environment=environment, **others)
    return [str(problem).replace(f"{folder}/", "") for problem in result.problems]
