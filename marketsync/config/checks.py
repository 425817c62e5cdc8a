"""What no section can know of itself: whether the names it uses exist, and whether the rules fit together."""

from collections.abc import Iterator, Mapping

from marketsync.adapter.spec import AdapterSpec
from marketsync.config.explain import nearest
from marketsync.config.models import Channel, Config
from marketsync.config.nodes import Tree
from marketsync.config.source_settings import SourceSettings
from marketsync.domain.pricing import needs_vat


def check(config: Config, tree: Tree, specs: Mapping[str, AdapterSpec]) -> None:
    """Note every contradiction between the sections of ``config`` in ``tree``. ``specs`` by account."""
    _sources(config, tree)
    for name, channel in config.channels.items():
        _locations(config, tree, name, channel)
        _currencies(config, tree, name, channel)
        _vat(config, tree, name, channel)
    _storefronts(config, tree, specs)
    _shared_stock(config, tree, specs)
    if config.inbound is not None and config.inbound.bind == config.metrics:
        tree.refuse(("inbound",), f"metrics listens at {config.metrics} already", "give it a port of its own")


def _owners(config: Config, field: str) -> Iterator[tuple[str, SourceSettings]]:
    return ((name, source) for name, source in config.sources.items() if field in source.owned_fields())


def _stock_sources(config: Config) -> Iterator[tuple[str, SourceSettings]]:
    return ((name, source) for name, source in config.sources.items() if "stock" in source.owns)


def _sources(config: Config, tree: Tree) -> None:
    keepers: dict[str, tuple[str, SourceSettings]] = {}
    for name, source in config.sources.items():
        if source.channel is not None and source.channel not in tree.data["channels"]:
            hint = nearest(source.channel, tree.data["channels"], noun="there are")
            tree.refuse(("sources", name, "channel"), f"there is no channel {source.channel}", hint)
    for name, source in _stock_sources(config):
        for place in _places(source):
            first, keeper = keepers.setdefault(place, (name, source))
            if (keeper.on_hand, keeper.falls_at, keeper.channel) != (source.on_hand, source.falls_at, source.channel):
                tree.refuse(
                    ("sources", name, "location"),
                    f"the source {first} keeps the stock of {place} in another way",
                    "give both the same on_hand and falls_at, or this one a location of its own",
                )


def _places(source: SourceSettings) -> Iterator[str]:
    """The locations that a source tells: those of its columns ``stock.NAME``, else its own."""
    columns = [column.removeprefix("stock.") for column in source.columns if column.startswith("stock.")]
    yield from columns or [source.location]


def _locations(config: Config, tree: Tree, name: str, channel: Channel) -> None:
    known = {place for _, source in _stock_sources(config) for place in _places(source)}
    for index, location in enumerate(channel.stock.locations):
        if known and location not in known:
            hint = nearest(location, known, noun="there are")
            tree.refuse(("channels", name, "stock", "locations", index), f"no source has a location {location}", hint)


def _currencies(config: Config, tree: Tree, name: str, channel: Channel) -> None:
    rules = channel.price
    bases = {source.currency: source_name for source_name, source in _owners(config, _base_field(channel))}
    costs = {source.currency: source_name for source_name, source in _owners(config, "cost")}
    wanted = rules.currency or (next(iter(bases)) if len(bases) == 1 else None)
    if wanted is None:
        return
    needed = {currency: ("currency", f"the source {owner}") for currency, owner in (costs | bases).items()}
    for field in ("plus", "shipping", "floor", "ceiling"):
        money = getattr(rules, field)
        if money is not None:
            needed.setdefault(money.currency, (field, field))
    for currency, (field, owner) in needed.items():
        missing = [code for code in (currency, wanted) if currency != wanted and not _has_rate(config, code)]
        if missing:
            tree.refuse(
                ("channels", name, "price", field),
                f"{owner} is in {currency}, the channel in {wanted}, and there is no exchange rate of {missing[0]}",
                f"add {missing[0]} under rates",
            )


def _has_rate(config: Config, currency: str) -> bool:
    rates = config.rates
    return rates is not None and (currency == rates.base or currency in rates.rates)


def _base_field(channel: Channel) -> str:
    return channel.price.base.partition(".")[0]


def _vat(config: Config, tree: Tree, name: str, channel: Channel) -> None:
    rules = channel.price
    base = _base_field(channel)
    reason = ""
    for owner, source in _owners(config, base):
        told = source.costs if base == "cost" else source.prices
        if (told == "gross") != rules.gross:
            shown = "gross" if rules.gross else "net"
            reason = f"the source {owner} tells {told} amounts and the channel shows {shown} prices"
    for owner, source in _owners(config, "cost"):
        if not reason and (needs_vat(rules) or source.costs == "gross"):
            reason = f"the floor from the costs of the source {owner} depends on it"
    if not reason:
        return
    if rules.country is None:
        hint = "write the country whose VAT applies, such as country: DE"
        tree.refuse(("channels", name, "price", "country"), f"VAT is needed, {reason}", hint)
    elif rules.country not in config.vat.root:
        hint = f"add vat: {{{rules.country}: {{standard: ...%}}}}"
        tree.refuse(("channels", name, "price", "country"), f"the VAT of {rules.country} is needed, {reason}", hint)


def _storefronts(config: Config, tree: Tree, specs: Mapping[str, AdapterSpec]) -> None:
    """Two channels on one storefront would write the same offers, and nobody could tell whose its orders are."""
    firsts: dict[tuple[str, str], str] = {}
    for name, channel in config.channels.items():
        account = channel.account or ""
        if account not in specs or channel.settings is None:
            continue
        first = firsts.setdefault((account, specs[account].storefront(channel.settings)), name)
        if first != name:
            hint = "name another storefront in settings, or keep one of the two channels"
            tree.refuse(("channels", name, "settings"), f"it is the same storefront of {account} as {first}", hint)


def _shared_stock(config: Config, tree: Tree, specs: Mapping[str, AdapterSpec]) -> None:
    """Two storefronts of one quantity with different rules would overwrite each other for ever."""
    firsts: dict[str, str] = {}
    for name, channel in config.channels.items():
        account = channel.account or ""
        if account not in specs or not specs[account].stock_shared:
            continue
        first = firsts.setdefault(account, name)
        other = config.channels[first].stock
        differing = [key for key in type(other).model_fields if getattr(other, key) != getattr(channel.stock, key)]
        if differing:
            tree.refuse(
                ("channels", name, "stock"),
                f"it shares one quantity with {first}, and they differ in {', '.join(differing)}",
                "give all storefronts of the account the same stock rules",
            )
