"""What a reload changes, so that it touches nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marketsync.config.models import Config

# Read once at the start: the ledger is open, the key in use, the listeners bound.
_AT_START = ("ledger", "key", "metrics", "inbound", "shipments")
# What every channel is derived with, and what times of day in schedules mean.
_OF_ALL_CHANNELS = ("rates", "vat", "time_zone")


@dataclass(frozen=True, slots=True)
class ConfigDiff:
    """Names, in the order of their file. ``restart_needed``: keys of the top level that a reload cannot change."""

    added: tuple[str, ...]  # channels
    removed: tuple[str, ...]
    changed_channels: tuple[str, ...]  # also by their account, or by what all channels share
    changed_sources: tuple[str, ...]  # added, changed or removed
    changed_sinks: tuple[str, ...]  # added, changed or removed
    retention_changed: bool
    restart_needed: tuple[str, ...]

    def __bool__(self) -> bool:
        return any(
            (
                self.added,
                self.removed,
                self.changed_channels,
                self.changed_sources,
                self.changed_sinks,
                self.retention_changed,
                self.restart_needed,
            )
        )


def diff(old: Config, new: Config) -> ConfigDiff:
    """From one usable configuration to the next. Secrets are compared by value: a rotated one is a change."""
    all_channels = _differing(old, new, _OF_ALL_CHANNELS)

    def changed(name: str) -> bool:
        before, after = old.channels[name], new.channels[name]
        return (
            bool(all_channels)
            or before != after
            or old.accounts[before.account or name] != new.accounts[after.account or name]
        )

    return ConfigDiff(
        added=tuple(name for name in new.channels if name not in old.channels),
        removed=tuple(name for name in old.channels if name not in new.channels),
        changed_channels=tuple(name for name in new.channels if name in old.channels and changed(name)),
        changed_sources=_entries(old.sources, new.sources),
        changed_sinks=_entries(old.sinks, new.sinks),
        retention_changed=old.retention != new.retention,
        restart_needed=_differing(old, new, _AT_START),
    )


def _differing(old: Config, new: Config, keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(key for key in keys if getattr(old, key) != getattr(new, key))


def _entries(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name for name in {**new, **old} if old.get(name) != new.get(name))
