"""What WordPress does to texts and times before it stores or compares them."""

import re
import unicodedata
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from marketsync_adapters.woocommerce.sandbox.rules import Refused

_TAG = re.compile(r"<[^>]*>?")
_SCRIPT = re.compile(r"</?(script|style|iframe)[^>]*>", re.IGNORECASE)
_OCTET = re.compile(r"%[a-f0-9]{2}", re.IGNORECASE)
_STAMP = "%Y-%m-%dT%H:%M:%S"


def cleaned(text: str) -> str:
    """One line of plain text: no tags, no %-codes, no runs of white space."""
    line = re.sub(r"[\r\n\t ]+", " ", _TAG.sub("", text)).strip()
    if _OCTET.search(line):
        while _OCTET.search(line):
            line = _OCTET.sub("", line)
        line = re.sub(" +", " ", line).strip()
    return line


def filtered(text: str) -> str:
    """Text with the markup that an author may use; backslashes are taken for escapes, as they always were."""
    return re.sub(r"\\(.)", r"\1", _SCRIPT.sub("", text)).replace("\x00", "")


def collated(text: str) -> str:
    """What the database takes for the same text: case and accents do not count."""
    plain = unicodedata.normalize("NFKD", text)
    return "".join(one for one in plain if not unicodedata.combining(one) and one != "\u200b").casefold()


def gmt(time: datetime | None) -> str | None:
    return time.astimezone(UTC).strftime(_STAMP) if time else None


def local(time: datetime | None, zone: str) -> str | None:
    return time.astimezone(ZoneInfo(zone)).strftime(_STAMP) if time else None


def compared(value: str, zone: str) -> datetime:
    """The naive time that a date parameter is compared as. WordPress reads one without an offset as a local time, so
    one that the clocks skip becomes a later one, and turns one with an offset into a local time.
    """
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        raise Refused(400, "rest_invalid_param", f"Invalid date: {value}") from None
    site = ZoneInfo(zone)
    there = time.replace(tzinfo=site).astimezone(UTC) if time.tzinfo is None else time
    return there.astimezone(site).replace(tzinfo=None)


def stamp(text: str | None) -> datetime | None:
    """A ``_gmt`` time that was sent."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None
