"""What the commands of one run share: the options before the command, the configuration, the ledger."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from zoneinfo import ZoneInfo

from marketsync.adapter.clock import Clock, SystemClock
from marketsync.adapter.errors import ConfigError, LedgerError, Problem

if TYPE_CHECKING:  # importing them takes longer than some commands
    from sqlalchemy import Connection

    from marketsync.config.loader import LoadResult
    from marketsync.config.models import Config
    from marketsync.ledger.gateway import Ledger
    from marketsync.sync.live import House

T = TypeVar("T")
PLACES = ("marketsync.yaml", "/etc/marketsync/marketsync.yaml")


class Session:
    """One run of the program."""

    def __init__(self) -> None:
        self.clock: Clock = SystemClock()
        self.begin()

    def begin(
        self, *, config: Path | None = None, json: bool = False, verbose: bool = False, log_format: str = "auto"
    ) -> None:
        self.json, self.verbose, self.log_format = json, verbose, log_format
        self._path = config
        self._loaded: LoadResult | None = None

    # ------------------------------------------------------------------ configuration

    @property
    def path(self) -> Path:
        """The configuration file. Raises ConfigError where nobody named one and none is where one is looked for."""
        named = self._path or (Path(os.environ["MARKETSYNC_CONFIG"]) if os.environ.get("MARKETSYNC_CONFIG") else None)
        if named is not None:
            return named
        for place in PLACES:
            if Path(place).exists():
                return Path(place)
        message = f"there is no configuration here ({', '.join(PLACES)})"
        raise ConfigError([Problem("marketsync", 0, 0, "", message, "write one by `marketsync init`, or use --config")])

    def load(self) -> "LoadResult":
        """The configuration with everything that is wrong with it, read once."""
        if self._loaded is None:
            from marketsync.config.loader import load  # noqa: PLC0415
            from marketsync.daemon.adapters import Installed  # noqa: PLC0415

            self._log()
            self._loaded = load(self.path, adapters=Installed())
        return self._loaded

    def config(self) -> "Config":
        """What is usable of the configuration: looking at the ledger needs no more. Raises ConfigError."""
        loaded = self.load()
        if loaded.config is None:
            raise ConfigError(loaded.problems)
        return loaded.config

    def whole_config(self) -> "Config":
        """The configuration where nothing is wrong with it. Raises ConfigError."""
        return self.load().whole()

    @property
    def zone(self) -> ZoneInfo:
        return self.config().time_zone

    def _log(self) -> None:
        from marketsync.telemetry import logs  # noqa: PLC0415

        logs.set_up(form=self.log_format, level="info" if self.verbose else "error", traces=self.verbose)

    # ------------------------------------------------------------------ ledger

    @property
    def url(self) -> str:
        return self.config().ledger.get_secret_value()

    def read(self, query: "Callable[[Connection], T]") -> T:
        """Ask the ledger, read-only and without a lock. Raises LedgerError where there is none, or it is not migrated."""
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

        from marketsync.ledger import migrate  # noqa: PLC0415
        from marketsync.ledger.engine import read_engine  # noqa: PLC0415

        migrate.check(self.url)
        engine = read_engine(self.url, connections=1)
        try:
            with engine.begin() as connection:
                return query(connection)
        except SQLAlchemyError as error:
            raise LedgerError(f"the ledger cannot be read: {getattr(error, 'orig', None) or error}") from error
        finally:
            engine.dispose()

    @contextmanager
    def ledger(self) -> "Iterator[Ledger]":
        """The ledger for small writes; a daemon that runs on it notices them. Raises LedgerError."""
        from marketsync.ledger import migrate  # noqa: PLC0415
        from marketsync.ledger.gateway import Ledger  # noqa: PLC0415
        from marketsync.ledger.vault import Vault  # noqa: PLC0415

        migrate.check(self.url)
        ledger = Ledger(self.url, Vault(self.config().key.get_secret_value()))
        try:
            yield ledger
        finally:
            ledger.close()

    def house(self, config: "Config", *, lock: bool) -> "AbstractAsyncContextManager[House]":
        """The house on the ledger. With ``lock`` nobody else may work on it."""
        from marketsync.daemon.house import open_house  # noqa: PLC0415
        from marketsync.daemon.run import secrets_of  # noqa: PLC0415
        from marketsync.telemetry.logs import register_secrets  # noqa: PLC0415

        register_secrets(secrets_of(config))
        return open_house(config, self.path.parent, self.clock, lock=lock)


session = Session()
