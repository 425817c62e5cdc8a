"""What a channel shows of an item: texts from templates, its own categories, attributes and conditions."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated

from pydantic import BaseModel, Field, field_validator

from marketsync.adapter.content import Listing
from marketsync.domain.content import Document, listing_from
from marketsync.domain.item import Item
from marketsync.domain.scalars import RULES
from marketsync.domain.templates import Read, compile_template, cut, field_text, parse

Problems = tuple[str, ...]
Length = Annotated[int, Field(ge=1)]


class ListingRules(BaseModel):
    """From an item to what the channel's buyers read."""

    model_config = RULES

    title: str = "{title}"
    """A template over the item's fields, such as `{brand} {title} {options}`."""
    description: str = "{description}"
    """A template over the item's fields."""
    title_max: Length | None = None
    """Longer titles are cut at a word."""
    description_max: Length | None = None
    """Longer descriptions are cut at a word."""
    language: str = ""
    """The language of the texts (`de-DE`); then `de`, then the item's own texts where it has none in that language."""
    categories: dict[str, str] = {}
    """Our category (a path or its beginning) -> the channel's; `*` for all others. If given, it must name each category."""
    attributes: dict[str, str] = {}
    """Our attribute or option -> the channel's name; empty leaves an attribute out. Others keep their names."""
    values: dict[str, dict[str, str]] = {}
    """Our attribute or option -> {our value: the channel's value}."""
    conditions: dict[str, str] = {}
    """Our condition -> the channel's."""
    images_max: int | None = Field(default=None, ge=0)
    """At most this many images."""
    images_first: tuple[Length, ...] = ()
    """Positions of the images to show first: [3, 1] starts with the third."""
    videos_max: int | None = Field(default=None, ge=0)
    """At most this many videos."""

    @field_validator("title", "description")
    @classmethod
    def _template(cls, template: str) -> str:
        parse(template)
        return template


def build_listing(item: Item, rules: ListingRules, parent: Item | None = None) -> tuple[Listing, Problems]:
    """The listing of one item and what is wrong with it. ``parent``: the family's own record, which fills gaps."""
    return compile_listing(rules)(item, parent)


def compile_listing(rules: ListingRules) -> Callable[[Item, Item | None], tuple[Listing, Problems]]:
    """``build_listing`` with the rules read once."""
    document_of = compile_listing_document(rules)

    def build(item: Item, parent: Item | None = None) -> tuple[Listing, Problems]:
        document, problems = document_of(item, parent)
        return listing_from(document), problems

    return build


def compile_listing_document(rules: ListingRules) -> Callable[[Item, Item | None], tuple[Document, Problems]]:
    """The same as ``to_document`` of the listing, at a third of the cost, for a catalogue that is hashed and stored."""
    title = compile_template(rules.title, one_line=True)
    description = compile_template(rules.description, one_line=False)
    title_max, description_max = rules.title_max, rules.description_max
    category_of = cache(_category_map(rules.categories))
    condition_of = rules.conditions.get
    localised = _localised(_languages(rules.language))
    own_fields = _own_fields(rules)

    def build(item: Item, parent: Item | None = None) -> tuple[Document, Problems]:
        if parent is not None:
            item = _with_gaps_filled(item, parent)
        read = localised if item.texts else field_text
        category, condition = category_of(item.category or ""), item.condition or "new"
        document: Document = {
            "title": cut(title(item, read), title_max),
            "description": cut(description(item, read), description_max),
            "brand": item.brand,
            "gtin": item.gtin,
            "category": category,
            "condition": condition_of(condition, condition),
            "language": rules.language,
            **own_fields(item),
        }
        problems = () if document["title"] and category is not None else _problems(item, document["title"], category)
        document = {name: value for name, value in document.items() if value}
        if item.weight_grams is not None:
            document["weight_grams"] = item.weight_grams
        return document, problems

    return build


def _own_fields(rules: ListingRules) -> Callable[[Item], Document]:
    """Pictures, attributes and options: what differs between the members of a family."""
    renames = bool(rules.attributes or rules.values)

    def fields(item: Item) -> Document:
        return {
            "images": _in_order(item.images, rules.images_first)[: rules.images_max],
            "videos": list(item.videos[: rules.videos_max]),
            "attributes": _renamed(item.attributes, rules, keep=False) if renames else dict(item.attributes),
            "options": _renamed(item.options, rules, keep=True) if renames else dict(item.options),
        }

    return fields


def _localised(languages: tuple[str, ...]) -> Read:
    """Reads a field in the first of the languages that has it, else the item's own text."""

    def read(item: Item, name: str) -> str:
        for language in languages:
            text = item.texts.get(language, {}).get(name)
            if text:
                return text
        return field_text(item, name)

    return read


def _problems(item: Item, title: str, category: str | None) -> Problems:
    problems = () if title else ("the title is empty: give the item a title or change the template",)
    if category is None:
        where = f"the category {item.category!r} has" if item.category else "the item has no category and `*` has"
        return (*problems, f"{where} no counterpart on the channel: add it under the listing's `categories`")
    return problems


def _languages(language: str) -> tuple[str, ...]:
    """de-DE, then de."""
    general = language.split("-", maxsplit=1)[0]
    return tuple(dict.fromkeys(filter(None, (language, general))))


def _category_map(categories: Mapping[str, str]) -> Callable[[str], str | None]:
    """Our category to theirs by the longest beginning of its path that is mapped; None where nothing is."""
    if not categories:
        return lambda category: category
    theirs = {_path(ours): name for ours, name in categories.items()}

    def find(category: str) -> str | None:
        path = _path(category)
        for length in range(len(path), 0, -1):
            if path[:length] in theirs:
                return theirs[path[:length]]
        return theirs.get(("*",))

    return find


def _path(category: str) -> tuple[str, ...]:
    return tuple(part.strip().casefold() for part in category.split(">"))


def _renamed(own: Mapping[str, str], rules: ListingRules, *, keep: bool) -> dict[str, str]:
    """Names and values as the channel spells them. ``keep``: what maps to nothing keeps its name (options do)."""
    renamed = {}
    for name, value in own.items():
        theirs = rules.attributes.get(name, name) or (name if keep else "")
        if theirs:
            renamed[theirs] = rules.values.get(name, {}).get(value, value)
    return renamed


def _in_order(images: tuple[str, ...], first: tuple[int, ...]) -> list[str]:
    if not first:
        return list(images)
    ahead = [images[position - 1] for position in first if position <= len(images)]
    return list(dict.fromkeys((*ahead, *images)))


def _with_gaps_filled(item: Item, parent: Item) -> Item:
    """The item with what only its family's own record tells; its own attributes and texts win."""
    return Item(
        sku=item.sku,
        title=parent.title if item.title is None else item.title,
        description=parent.description if item.description is None else item.description,
        brand=parent.brand if item.brand is None else item.brand,
        gtin=item.gtin,
        category=parent.category if item.category is None else item.category,
        tags=item.tags or parent.tags,
        condition=parent.condition if item.condition is None else item.condition,
        parent=item.parent,
        options=item.options,
        attributes={**parent.attributes, **item.attributes} if parent.attributes else item.attributes,
        images=item.images or parent.images,
        videos=item.videos or parent.videos,
        weight_grams=item.weight_grams,
        texts=_merged_texts(item.texts, parent.texts) if parent.texts else item.texts,
    )


def _merged_texts(
    own: Mapping[str, Mapping[str, str]], family: Mapping[str, Mapping[str, str]]
) -> Mapping[str, Mapping[str, str]]:
    return {language: {**family.get(language, {}), **own.get(language, {})} for language in {**family, **own}}
