"""``marketsync channels login``: walks a person through the consent, or to the keys, and checks them."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Annotated

import typer

from marketsync.adapter.errors import MarketsyncError
from marketsync.cli.output import busy, document, line, printable
from marketsync.cli.session import session
from marketsync.cli.work import make_ledger

if TYPE_CHECKING:
    from marketsync.adapter.spec import Consent
    from marketsync.config.models import Config
    from marketsync.ledger.channels import ChannelRow
    from marketsync.ledger.gateway import Ledger


def register(app: typer.Typer) -> None:
    group = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="What concerns the login of a channel.")
    group.callback()(_channels)
    group.command()(login)
    app.add_typer(group, name="channels")


def _channels() -> None:
    """Log in to the marketplace of a channel."""


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A channel after the login: what the marketplace says of us, and its state before and now."""

    channel: str
    said: str
    before: str
    state: str


def login(name: Annotated[str, typer.Argument(metavar="NAME", help="A channel or an account.")]) -> None:
    """Log in to a marketplace: go through the consent where one is needed, then check and resume the channel."""
    config = session.whole_config()
    account = _account(config, name)
    make_ledger()
    consent, steps = _wanted(config, account)
    code = refresh = ""
    if consent is None:
        _tell(steps, f"{account} needs no consent: its credentials are keys. To make new ones:")
    elif consent.url:
        code = _code(consent, steps)
    else:
        _tell(steps, f"{account} needs the seller's consent:")
        refresh = _pasted("The refresh token (it is not shown)", hidden=True)
    with busy(f"logging in to {account}"):
        ends, channels = asyncio.run(_log_in(config, account, code, refresh))
    if session.json:
        said = {"account": account, "consent": consent is not None, "consent_ends": ends}
        document({**said, "channels": [asdict(one) for one in channels]})
        return
    if consent is not None:
        until = f", until {ends:%Y-%m-%d}" if ends is not None else ""
        line(f"The consent is stored in the ledger, encrypted{until}.")
    for one in channels:
        line(f"{one.channel}: logged in as {one.said}")
        if one.before != one.state:
            line(f"{one.channel} was {one.before} and is {one.state}")


def _account(config: "Config", name: str) -> str:
    """The account that a channel's or an account's name means, with at least one channel."""
    account = config.channels[name].account or name if name in config.channels else name
    if account not in config.accounts:
        known = ", ".join([*config.channels, *(one for one in config.accounts if one not in config.channels)])
        raise MarketsyncError(f"there is no channel {name}: there are {known or 'none'}")
    if not config.channels_of(account):
        raise MarketsyncError(f"no channel uses the account {account}: write one first")
    return account


def _wanted(config: "Config", account: str) -> tuple["Consent | None", Sequence[str]]:
    """The consent that an account needs, and where to click."""
    from marketsync.adapter.spec import OAuth2  # noqa: PLC0415
    from marketsync.daemon.adapters import adapter_class  # noqa: PLC0415

    spec = adapter_class(config.accounts[account].adapter).spec
    settings = config.channels[config.channels_of(account)[0]].settings
    auth = spec.auth(config.accounts[account].credentials, settings)
    steps = spec.login(settings) or (f"See {spec.docs}",)
    return (auth.consent if isinstance(auth, OAuth2) else None), steps


# ------------------------------------------------------------------ asking


def _code(consent: "Consent", steps: Sequence[str]) -> str:
    """Send a person to the page of the consent; the code in the address that came of it."""
    from marketsync.transport.consent import authorize_url, code_in  # noqa: PLC0415

    state = token_urlsafe(24)
    page = authorize_url(consent, state)
    agree = f"Open this address in a browser, log in as the seller and agree:\n\n   {page}\n"
    copy = f"The browser is sent to an address that holds {consent.code}=... Copy it whole, whatever the page shows."
    _tell((*steps, agree, copy), "The seller's consent is needed:")
    return code_in(_pasted("The address"), consent, state)


def _tell(steps: Sequence[str], what: str) -> None:
    """Numbered steps; beside JSON, on standard error."""
    typer.echo(printable(what), err=session.json)
    for number, step in enumerate(steps, start=1):
        typer.echo(printable(f"{number}. {step}"), err=session.json)


def _pasted(what: str, *, hidden: bool = False) -> str:
    """What a person pastes, or a script writes to standard input."""
    ask = partial(typer.prompt, what, hide_input=hidden, err=True, default="", show_default=False)
    written = str(ask() if sys.stdin.isatty() else sys.stdin.readline())
    if not written.strip():
        raise MarketsyncError("nothing was pasted, and nothing was changed")
    return written.strip()


# ------------------------------------------------------------------ logging in


async def _log_in(config: "Config", account: str, code: str, refresh: str) -> tuple[datetime | None, list[LoggedIn]]:
    """Store the consent, then ask who we are; what was blocked works again. Returns when the consent ends."""
    from marketsync.ledger.channels import load  # noqa: PLC0415
    from marketsync.transport.http import HttpClient  # noqa: PLC0415

    async with session.house(config, lock=False) as house:
        live = house.accounts[account]
        ends = None
        if code or refresh:
            assert isinstance(live.http, HttpClient)
            ends = await live.http.log_in(code=code, refresh=refresh)
        channels = []
        for channel in live.channels.values():
            said = await channel.adapter.check()
            rows = await house.ledger.read(load)
            channels.append(await _resumed(house.ledger, rows[channel.name], said))
        return ends, channels


async def _resumed(ledger: "Ledger", row: "ChannelRow", said: str) -> LoggedIn:
    """A blocked channel goes on; one that was never adopted goes back to watching."""
    from marketsync.ledger.channels import set_state  # noqa: PLC0415

    state = row.state
    if row.state == "blocked":
        state = "active" if row.adopted_at else "observing"
        now = session.clock.now()
        await ledger.write(lambda conn: set_state(conn, row.name, state, "", now))
    return LoggedIn(row.name, said, row.state, state)
