"""Text templates over an item's fields: ``{brand} {title}``, ``{attributes.Colour}``. Data only: nothing is executed."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from difflib import get_close_matches

from marketsync.domain.item import Item

TEXT_FIELDS = ("sku", "title", "description", "brand", "gtin", "category", "condition", "parent")
LIST_FIELDS = ("options", "tags")
MAPS = ("attributes", "options")

Read = Callable[[Item, str], str]  # (item, name) -> text; how a field is read in the channel's language

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def parse(template: str) -> tuple[tuple[str, bool], ...]:
    """(text, is a field) for each part; ``{{`` and ``}}`` stand for braces. Raises ValueError for an unknown field."""
    parts: list[tuple[str, bool]] = []
    literal, position = "", 0
    for match in _PART.finditer(template):
        literal += template[position : match.start()]
        position = match.end()
        if match[0] in ("{{", "}}"):
            literal += match[0][0]
            continue
        if match[1] is None:
            raise ValueError(f"{template!r} has a brace without its pair: write {{{{ or }}}} for the character itself")
        parts += [(literal, False)] if literal else []
        parts.append((_field(match[1].strip()), True))
        literal = ""
    literal += template[position:]
    return (*parts, (literal, False)) if literal else tuple(parts)


def _field(name: str) -> str:
    map_, point, key = name.partition(".")
    if (point and map_ in MAPS and key) or name in TEXT_FIELDS or name in LIST_FIELDS:
        return name
    known = (*TEXT_FIELDS, *LIST_FIELDS, "attributes.<name>", "options.<name>")
    nearest = get_close_matches(f"{map_}.<name>" if point else name, known, 1)
    meant = f"did you mean {{{nearest[0]}}}?" if nearest else f"write one of {', '.join(known)}"
    raise ValueError(f"{{{name}}} is no field of an item: {meant}")


def field_text(item: Item, name: str) -> str:
    """One field as text; "" where no source tells it. Options and tags are joined."""
    map_, point, key = name.partition(".")
    if point:
        members: Mapping[str, str] = getattr(item, map_)
        return members.get(key, "")
    if name == "options":
        return " / ".join(item.options.values())
    if name == "tags":
        return ", ".join(item.tags)
    return getattr(item, name) or ""


def compile_template(template: str, *, one_line: bool) -> Callable[[Item, Read], str]:
    """A function that fills the template. ``one_line``: line breaks, and the blanks that empty fields leave, close up."""
    parts = parse(template)
    tidy = _one_line if one_line else str.strip
    if len(parts) == 1 and parts[0][1]:
        only = parts[0][0]
        return lambda item, read: tidy(read(item, only))
    return lambda item, read: tidy("".join([read(item, part) if is_field else part for part, is_field in parts]))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def cut(text: str, limit: int | None) -> str:
    """At most ``limit`` characters, cut at a word where there is one, never inside a tag or a composed character."""
    if limit is None or len(text) <= limit:
        return text
    kept = text[:limit]
    if kept.rfind("<") > kept.rfind(">"):
        kept = kept[: kept.rfind("<")]
    elif not text[limit].isspace():
        blank = max(kept.rfind(" "), kept.rfind("\n"), kept.rfind("\t"))
        kept = kept[:blank] if blank > 0 else _whole_characters(text, limit)
    return kept.rstrip(" \t\n,;:-–/|")


def _whole_characters(text: str, limit: int) -> str:
    """Accents, variation selectors and joined emoji stay with what they belong to."""
    while limit and (unicodedata.category(text[limit]) in {"Mn", "Me", "Cf"} or text[limit - 1] == "\u200d"):
        limit -= 1
    return text[:limit]
