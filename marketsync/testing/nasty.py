"""Nasty inputs that every adapter meets in real catalogues. Shared by all contract suites; add to them, never remove."""

from collections.abc import Iterator
from dataclasses import replace

from marketsync.adapter.api import Listing

# What sellers use as SKUs. Case twins and leading zeros are different SKUs.
SKUS: tuple[str, ...] = (
    "0",
    "000123",
    "123",
    "85123A",
    "85123a",
    "with space inside",
    "semi;colon,comma\ttab",
    "quo\"te's and `ticks`",
    "slash/back\\slash/../..",
    "?a=b&c=d#e",
    "100% + 5%",
    "%2F%00",
    "{curly} [square] <angle>",
    "=1+1",
    "Größe-ÄÖÜ-ß",
    "Größe-ÄÖÜ-SS",
    "e\u0301",  # é as two characters
    "\u00e9",  # é as one
    "emoji-🧦-👩‍👩‍👧",
    "עברית-مرحبا",
    "rtl-\u202eabc\u202c",
    "zero\u200bwidth",
    "中文-日本語-한국어",
    "null",
    "None",
    "true",
    "NaN",
    "1e5",
    "-1",
    "'; DROP TABLE offer; --",
    "x" * 200,
    "ü" * 200,
)

TEXTS: tuple[str, ...] = (
    "",
    " ",
    "  white   space\n\taround  ",
    "<p>HTML <b>bold</b> &amp; <script>alert(1)</script></p>",
    "]]> <![CDATA[ & &lt; \u00a0",
    "quotes \" ' ` “ ” « »",
    "line\r\nbreaks\rof\nall kinds\u2028\u2029",
    "emoji 🧦 and family 👩‍👩‍👧‍👦",
    "مرحبا بالعالم",
    "control \x01\x02\x7f characters",
    "backslash \\ \\n \\u0000 %s {0} ${x}",
    "long " * 2_000,
)

# Minor units: one cent, prices just above and below a round amount, and a billion.
PRICES: tuple[int, ...] = (1, 99, 100, 101, 1_999, 123_456, 99_999_999, 10**11)

QUANTITIES: tuple[int, ...] = (0, 1, 2, 999, 1_000, 999_999)


def listings(plain: Listing) -> Iterator[Listing]:
    """The plain listing with one thing made nasty at a time."""
    for text in TEXTS:
        yield replace(plain, title=text)
        yield replace(plain, description=text)
        yield replace(plain, brand=text)
        yield replace(plain, attributes={**plain.attributes, "Note": text})
    yield replace(plain, images=())
    yield replace(plain, images=plain.images * 3)
    yield replace(plain, images=("https://example.com/a b/ü.jpg?x=1&y=2#z",))
    yield replace(plain, images=tuple(f"https://example.com/{number}.jpg" for number in range(60)))
    yield replace(plain, weight_grams=0)
    yield replace(plain, gtin="0000000000000")
