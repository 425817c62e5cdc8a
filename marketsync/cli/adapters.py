"""``marketsync adapters`` and ``marketsync sandbox``: the kinds of marketplaces."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marketsync.adapter.errors import MarketsyncError
from marketsync.cli.output import document, line, note, table
from marketsync.cli.session import session

if TYPE_CHECKING:
    from marketsync.adapter.api import Adapter

CAPABILITIES = {
    "PushesOffers": "push offers", "ConfirmsPushes": "confirm", "ReadsOffers": "read back", "PullsOrders": "orders",
    "CountsOrders": "count orders", "AcknowledgesOrders": "acknowledge", "ShipsOrders": "ship",
    "CancelsOrders": "cancel", "RefundsOrders": "refund", "LooksUpCommands": "look up", "PullsReturns": "returns",
    "ReceivesWebhooks": "webhooks", "SubscribesWebhooks": "subscribe",
}  # fmt: skip


def register(app: typer.Typer) -> None:
    group = typer.Typer(rich_markup_mode=None)
    group.callback(invoke_without_command=True)(adapters)
    group.command()(new)
    app.add_typer(group, name="adapters")
    app.command()(sandbox)


def adapters(context: typer.Context) -> None:
    """List the adapters that are installed, and what each can do."""
    if context.invoked_subcommand is not None:
        return
    from marketsync.daemon.adapters import Installed  # noqa: PLC0415

    found = [_described(name) for name in sorted(Installed())]
    if session.json:
        document({"adapters": found})
        return
    table(
        ("adapter", "marketplace", "can", "problem"),
        [(one["name"], one["title"], ", ".join(one["capabilities"]), one["problem"]) for one in found],
        empty="no adapter is installed",
    )


def _described(name: str) -> dict[str, Any]:
    from marketsync.adapter import api  # noqa: PLC0415
    from marketsync.daemon.adapters import AdapterNotUsable, adapter_class  # noqa: PLC0415

    try:
        kind = adapter_class(name)
    except AdapterNotUsable as problem:
        return {"name": name, "title": "", "docs": "", "capabilities": [], "api_versions": {}, "problem": str(problem)}
    can = [word for protocol, word in CAPABILITIES.items() if issubclass(kind, getattr(api, protocol))]
    spec = kind.spec
    return {
        "name": name, "title": spec.title, "docs": spec.docs, "capabilities": can,
        "api_versions": dict(spec.api_versions), "problem": "",
    }  # fmt: skip


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower-case letters and digits, such as otto.")],
    into: Annotated[Path, typer.Option(help="The folder to make the package in.")] = Path(),
) -> None:
    """Write a whole adapter package that passes the contract suite, to start from."""
    from marketsync.cli.scaffold import scaffold  # noqa: PLC0415

    written = scaffold(name, into)
    if session.json:
        document({"written": [str(path) for path in written]})
        return
    for path in written:
        line(f"written: {path}")
    note("next: read its README.md, and run its tests")


# ------------------------------------------------------------------ sandbox


def sandbox(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The adapter whose marketplace is to run.")] = "sandbox",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8800,
    host: Annotated[str, typer.Option(help="Loopback, unless you know why.")] = "127.0.0.1",
) -> None:
    """Run an adapter's marketplace on this machine: for trying things out. It forgets everything at its end."""
    import uvicorn  # noqa: PLC0415

    adapter = _adapter(name)
    # Broken-off replies are made on purpose; uvicorn would log each as an error of the app.
    level = "info" if session.verbose else "critical"
    config = uvicorn.Config(sandbox_app(adapter), host=host, port=port, log_level=level, access_log=session.verbose)
    with config.bind_socket() as listening:
        url = f"http://{host}:{listening.getsockname()[1]}"
        if session.json:
            document({"adapter": name, "url": url, "channel": rehearsal(adapter, url)})
        else:
            line(f"the marketplace of {name} runs on {url}, until Ctrl-C")
            if channel := rehearsal(adapter, url):
                line(f"to rehearse on it, write under channels:\n{channel}")
        uvicorn.Server(config).run(sockets=[listening])


def _adapter(name: str) -> "type[Adapter]":
    from marketsync.daemon.adapters import Installed, adapter_class  # noqa: PLC0415

    if name not in Installed():
        raise MarketsyncError(f"there is no adapter {name}: there are {', '.join(sorted(Installed()))}")
    return adapter_class(name)


def _sandbox(adapter: "type[Adapter]") -> Any:
    """The module that brings an adapter's marketplace: its package, or ``sandbox`` or ``app`` in it; None without one."""
    package = adapter.__module__
    for place in (package, f"{package}.sandbox", f"{package}.app"):
        if find_spec(place) is not None and hasattr(module := import_module(place), "sandbox_app"):
            return module
    return None


def rehearsal(adapter: "type[Adapter]", url: str) -> str:
    """The channel to configure for an adapter's marketplace at ``url``, as YAML; "" where its package tells none."""
    tells = getattr(_sandbox(adapter), "rehearsal", None)
    return "" if tells is None else str(tells(url))


def sandbox_app(adapter: "type[Adapter]") -> Any:
    """The ASGI app of an adapter's marketplace: ``sandbox_app()`` of its package, or of the module ``sandbox`` in it.

    Raises MarketsyncError where it brings none.
    """
    if module := _sandbox(adapter):
        return module.sandbox_app()
    package = adapter.__module__
    raise MarketsyncError(
        f"the adapter {adapter.spec.name} brings no marketplace to run: {package} has no sandbox_app()"
    )
