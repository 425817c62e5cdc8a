"""Listings: templates that only read data, the channel's own words, cut at a word and never inside a character."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from marketsync.domain.content import to_document
from marketsync.domain.item import Item
from marketsync.domain.listing import ListingRules, build_listing, compile_listing_document
from marketsync.domain.templates import cut

HOSE = Item(
    sku="HOSE-G",
    title="Garden hose",
    description="Twenty metres.\nGreen.",
    brand="Acme",
    category="Home > Garden > Hoses",
    options={"Length": "20 m", "Colour": "green"},
    attributes={"Material": "PVC", "Origin": "IT"},
    images=("1.jpg", "2.jpg", "3.jpg"),
    texts={"de": {"title": "Gartenschlauch"}, "de-AT": {"title": "Gartenschlauch (AT)", "description": "Servus."}},
)


def built(item=HOSE, parent=None, **keys):
    return build_listing(item, ListingRules.model_validate(keys), parent)


def test_without_rules_the_item_is_shown_as_it_is():
    listing, problems = built()
    assert problems == ()
    assert (listing.title, listing.description) == ("Garden hose", "Twenty metres.\nGreen.")
    assert (listing.category, listing.condition, listing.images) == ("Home > Garden > Hoses", "new", HOSE.images)
    assert (listing.attributes, listing.options) == (HOSE.attributes, HOSE.options)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{brand} {title}", "Acme Garden hose"),
        ("{title}, {options.Length} ({attributes.Material})", "Garden hose, 20 m (PVC)"),
        ("{title} {options}", "Garden hose 20 m / green"),
        ("{gtin} {title}  {attributes.Nothing} !", "Garden hose !"),
        ("{{{sku}}}", "{HOSE-G}"),
        ("{ title }", "Garden hose"),
        ("{title}\n{brand}", "Garden hose Acme"),
    ],
)
def test_a_template_reads_the_fields_of_the_item(template, expected):
    assert built(title=template)[0].title == expected


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{titel}", "did you mean {title}?"),
        ("{attribute.Colour}", "did you mean {attributes.<name>}?"),
        ("{attributes.}", "is no field of an item"),
        ("{title.__class__}", "is no field of an item"),
        ("{title!r}", "is no field of an item"),
        ("{title:>999999999}", "is no field of an item"),
        ("{}", "is no field of an item"),
        ("{0}", "is no field of an item"),
        ("{title", "has a brace without its pair"),
        ("title}", "has a brace without its pair"),
    ],
)
def test_a_template_that_names_no_field_is_refused_when_it_is_read(template, said):
    with pytest.raises(ValidationError) as caught:
        ListingRules(title=template)
    assert said in str(caught.value)


def test_braces_in_an_items_own_text_stay_text():
    assert built(Item(sku="A", title="{cost} {sku}"), title="{title}!")[0].title == "{cost} {sku}!"


@pytest.mark.parametrize(
    ("language", "title", "description"),
    [
        ("de-AT", "Gartenschlauch (AT)", "Servus."),
        ("de-DE", "Gartenschlauch", "Twenty metres.\nGreen."),
        ("fr-FR", "Garden hose", "Twenty metres.\nGreen."),
        ("", "Garden hose", "Twenty metres.\nGreen."),
    ],
)
def test_texts_fall_back_from_the_region_to_the_language_to_the_item(language, title, description):
    listing, _ = built(language=language)
    assert (listing.title, listing.description, listing.language) == (title, description, language)


def test_names_and_values_become_those_of_the_channel():
    listing, _ = built(
        attributes={"Material": "material_type", "Origin": "", "Colour": "color"},
        values={"Colour": {"green": "GRN"}, "Material": {"PVC": "pvc"}},
    )
    assert listing.attributes == {"material_type": "pvc"}
    assert listing.options == {"Length": "20 m", "color": "GRN"}


def test_an_option_is_never_left_out_for_it_tells_variants_apart():
    assert built(attributes={"Length": ""})[0].options == HOSE.options


@pytest.mark.parametrize(
    ("categories", "expected"),
    [
        ({"Home > Garden": "77", "Home": "1"}, "77"),
        ({"home>garden>hoses": "78", "Home > Garden": "77"}, "78"),
        ({"Kitchen": "2", "*": "999"}, "999"),
    ],
)
def test_a_category_is_mapped_by_the_longest_beginning_of_its_path(categories, expected):
    assert built(categories=categories)[0].category == expected


def test_an_unmapped_category_is_a_problem():
    listing, problems = built(categories={"Kitchen": "2"})
    assert listing.category == ""
    assert problems == (
        "the category 'Home > Garden > Hoses' has no counterpart on the channel: add it under the listing's `categories`",
    )


def test_an_empty_title_is_a_problem():
    assert built(Item(sku="A"))[1] == ("the title is empty: give the item a title or change the template",)


def test_images_come_in_the_wanted_order_and_number():
    assert built(images_first=[3, 9, 1], images_max=2)[0].images == ("3.jpg", "1.jpg")
    assert built(images_max=0)[0].images == ()


def test_a_condition_becomes_the_channels():
    assert built(Item(sku="A", title="T", condition="used"), conditions={"used": "3000"})[0].condition == "3000"


def test_the_familys_record_fills_only_gaps():
    parent = Item(
        sku="HOSE",
        title="Hose family",
        description="For all.",
        brand="Acme",
        attributes={"Material": "PVC", "Use": "garden"},
        images=("p.jpg",),
        texts={"de": {"title": "Schlauch", "description": "Für alle."}},
    )
    variant = Item(sku="HOSE-G", title="Hose, green", description="", attributes={"Material": "rubber"})
    listing, _ = built(variant, parent)
    assert (listing.title, listing.description, listing.brand) == ("Hose, green", "", "Acme")
    assert (listing.attributes, listing.images) == ({"Material": "rubber", "Use": "garden"}, ("p.jpg",))


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("Garden hose green", 99, "Garden hose green"),
        ("Garden hose green", 17, "Garden hose green"),
        ("Garden hose green", 11, "Garden hose"),
        ("Garden hose green", 13, "Garden hose"),
        ("Garden hose, green", 14, "Garden hose"),
        ("Gartenschlauch", 6, "Garten"),
        ("cafe\u0301", 4, "caf"),
        ("a\u0301\u0302", 2, ""),
        ("👩\u200d🔧x", 1, ""),
        ("see <b>this</b>", 6, "see"),
        ("one\ntwo", 5, "one"),
    ],
)
def test_a_long_text_is_cut_at_a_word(text, limit, expected):
    assert cut(text, limit) == expected


@given(st.text(), st.integers(1, 30))
def test_a_cut_text_is_a_beginning_within_the_limit(text, limit):
    assert len(cut(text, limit)) <= limit
    assert text.startswith(cut(text, limit))


@given(st.text(max_size=30))
def test_a_template_is_refused_or_fills_without_an_error(template):
    try:
        rules = ListingRules(title=template)
    except ValidationError:
        return
    assert isinstance(build_listing(HOSE, rules)[0].title, str)


RENAMED = ListingRules(title="{brand} {title}", attributes={"Material": "m"}, images_first=(2,), language="de")
ITEMS = st.builds(
    Item,
    sku=st.just("A"),
    title=st.none() | st.sampled_from(["", "Hose"]),
    brand=st.none() | st.sampled_from(["", "Acme"]),
    attributes=st.dictionaries(st.sampled_from(["Material", "Use"]), st.sampled_from(["", "PVC"])),
    images=st.lists(st.sampled_from("abc"), max_size=3, unique=True).map(tuple),
    weight_grams=st.none() | st.integers(0, 2),
)


@given(ITEMS, st.sampled_from([ListingRules(), RENAMED]))
def test_the_document_of_a_catalogue_run_is_that_of_the_listing(item, rules):
    """Else the same listing would have two hashes, and be pushed again and again."""
    assert compile_listing_document(rules)(item, None)[0] == to_document(build_listing(item, rules)[0])
