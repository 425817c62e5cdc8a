"""Who logs in where: every channel gets its account and its adapter, and the adapter's own models read what is its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from marketsync.adapter.errors import MarketsyncError
from marketsync.adapter.spec import AdapterSpec
from marketsync.config.explain import nearest, validated
from marketsync.config.models import Account, Channel
from marketsync.config.nodes import Path_, Tree


def connect(
    tree: Tree, accounts: dict[str, Account], channels: dict[str, Channel], adapters: Mapping[str, AdapterSpec]
) -> Mapping[str, AdapterSpec]:
    """Complete ``accounts`` and ``channels`` in place; the spec of each account whose adapter is known.

    Looks at what was written, not only at the entries that are right: every mistake is found at once. What cannot be
    completed has its problem in ``tree``.
    """
    desk = _Desk(tree, accounts, adapters)
    for name in tree.data["accounts"]:
        desk.log_in(name, ("accounts", name))
    for name in tree.data["channels"]:
        account = desk.account_of(name)
        spec = desk.specs.get(account)
        if spec is None:
            continue
        settings = desk.read(spec.settings, ("channels", name, "settings"))
        if name in channels:
            completed = {"account": account, "adapter": spec.name, "credentials": None, "settings": settings}
            channels[name] = channels[name].model_copy(update=completed)
    return desk.specs


@dataclass(slots=True)
class _Desk:
    tree: Tree
    accounts: dict[str, Account]
    adapters: Mapping[str, AdapterSpec]
    specs: dict[str, AdapterSpec] = field(default_factory=dict)  # by account

    def account_of(self, name: str) -> str:
        """The name of a channel's account; a channel that brings its own becomes an account of its name."""
        prefix: Path_ = ("channels", name)
        known = self.tree.data["accounts"]
        account = self.tree.at((*prefix, "account"))
        if isinstance(account, str):
            if account not in known:
                hint = nearest(account, known, noun="there are")
                self.tree.refuse((*prefix, "account"), f"there is no account {account}", hint)
            return account
        if name in known and self.tree.at((*prefix, "adapter")) is not None:
            hint = f"write account: {name}, or rename one of them"
            self.tree.refuse((*prefix, "adapter"), f"there is an account {name} as well", hint)
        elif name not in known:
            self.log_in(name, prefix)
        return name

    def log_in(self, name: str, prefix: Path_) -> None:
        """Read the credentials of the account that is written at ``prefix`` with the model of its adapter."""
        where = (*prefix, "adapter")
        adapter = self.tree.at(where)
        if not isinstance(adapter, str) or not adapter:
            return  # the model says so
        try:
            spec = self.adapters[adapter]
        except KeyError:
            hint = nearest(adapter, self.adapters, noun="installed are")
            self.tree.refuse(where, f"there is no adapter {adapter}", hint)
            return
        except MarketsyncError as error:
            self.tree.refuse(where, str(error))
            return
        self.specs[name] = spec
        self.accounts[name] = Account(
            adapter=adapter, credentials=self.read(spec.credentials, (*prefix, "credentials"))
        )

    def read(self, model: Any, path: Path_) -> Any:
        """An instance of an adapter's model; what is left out or empty has the model's defaults."""
        written = self.tree.at(path)
        return validated(model, {} if written is None else written, self.tree, path)
