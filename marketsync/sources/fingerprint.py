"""What a snapshot's records depend on besides its bytes: the settings, and the program that reads them."""

from hashlib import blake2b
from importlib.metadata import version

from marketsync.sources.api import SourceSettings

_FIELDS = {
    "owns", "prices", "costs", "currency", "time_zone", "location", "format", "columns", "encoding", "delimiter",
    "decimal", "sheet", "make_skus",
}  # fmt: skip


def fingerprint(settings: SourceSettings) -> str:
    """Changes whenever the same bytes could be read into other records."""
    told = settings.model_dump(mode="json", include=_FIELDS)
    told["owns"] = sorted(told["owns"])
    query = settings.sql.query if settings.sql else ""
    text = repr((version("marketsync"), sorted(told.items()), query))
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def checksum_of(settings_mark: str) -> "blake2b":
    """The hash that a snapshot's bytes go into; settings that differ give another checksum for the same bytes."""
    return blake2b(digest_size=16, key=settings_mark.encode())
