"""Runs the command line in this process: what it prints, and its exit code."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from marketsync.cli.main import run
from marketsync.cli.session import session
from marketsync.testing.clock import TurnedClock
from tests.integration.ledger_rows import KEY, NOW, open_ledger, shop

CONFIG = f"""\
ledger: sqlite:///ledger.db
key: {KEY}
time_zone: Europe/Berlin
sources:
  pim: {{file: products.csv, owns: [content, price, stock]}}
accounts:
  rialto: {{adapter: sandbox, credentials: {{api_key: sandbox-key}}}}
channels:
  rialto-de: {{account: rialto, settings: {{storefront: de, base_url: 'http://127.0.0.1:1'}}}}
  rialto-fr: {{account: rialto, settings: {{storefront: fr, base_url: 'http://127.0.0.1:1'}}}}
  bazaar: {{adapter: sandbox, credentials: {{api_key: sandbox-key}}, settings: {{base_url: 'http://127.0.0.1:1'}}}}
sinks:
  erp: {{folder: out}}
"""


class Cli:
    """The command line, as somebody at a shell in ``folder`` has it."""

    def __init__(self, folder: Path, capsys: Any) -> None:
        self.folder = folder
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        code = run(arguments)
        told = self._capsys.readouterr()
        assert "Traceback" not in told.out + told.err
        return code, told.out, told.err

    def good(self, *arguments: str) -> str:
        """What a command prints that has to end well."""
        code, out, err = self(*arguments)
        assert (0, "") == (code, err), out + err
        return out

    def json(self, *arguments: str) -> Any:
        return orjson.loads(self.good(*arguments, "--json"))

    def bad(self, code: int, *arguments: str) -> str:
        """What a command tells that ends with this code: its standard error."""
        ended, out, err = self(*arguments)
        assert code == ended, out + err
        return err

    @contextmanager
    def ledger(self) -> Iterator[Any]:
        ledger = open_ledger(f"sqlite:///{self.folder}/ledger.db")
        try:
            yield ledger
        finally:
            ledger.close()


@contextmanager
def at_a_shell(folder: Path, monkeypatch: Any, capsys: Any, *, rows: bool) -> Iterator[Cli]:
    """A folder with a configuration and a ledger, empty or with the rows of a small shop; the time is ``NOW``."""
    (folder / "marketsync.yaml").write_text(CONFIG)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MARKETSYNC_CONFIG", raising=False)
    monkeypatch.setattr(session, "clock", TurnedClock(NOW))
    (folder / "ledger.db").write_bytes(_ledger(rows))
    yield Cli(folder, capsys)


@cache
def _ledger(rows: bool) -> bytes:
    """A ledger, made once: every test gets a copy."""
    with TemporaryDirectory() as folder:
        ledger = open_ledger(f"sqlite:///{folder}/ledger.db")
        if rows:
            ledger.write_now(lambda conn: shop(conn, ledger.vault))
        ledger.close()
        return (Path(folder) / "ledger.db").read_bytes()
