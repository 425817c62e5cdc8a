"""The adapters that are installed: found by their entry points, loaded when first asked for."""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from marketsync.adapter.api import Adapter, AdapterSpec
from marketsync.adapter.errors import MarketsyncError

GROUP = "marketsync.adapters"


class AdapterNotUsable(MarketsyncError):
    """An installed adapter cannot be used: two packages bring one of its name, or it fails to load."""


class Installed(Mapping[str, AdapterSpec]):
    """Specs by the adapter's name. Looking one up loads its package; listing names loads nothing."""

    def __getitem__(self, name: str) -> AdapterSpec:
        return adapter_class(name).spec

    def __iter__(self) -> Iterator[str]:
        return iter(_points())

    def __len__(self) -> int:
        return len(_points())

    def __contains__(self, name: object) -> bool:
        return name in _points()


@cache
def _points() -> Mapping[str, tuple[EntryPoint, ...]]:
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        if point not in found.get(point.name, ()):
            found[point.name] = (*found.get(point.name, ()), point)
    return found


@cache
def adapter_class(name: str) -> type[Adapter]:
    """The class of an adapter. Raises KeyError for a name that nobody brings, AdapterNotUsable for a broken one."""
    points = _points()[name]
    if len(points) > 1:
        who = " and ".join(sorted(point.dist.name if point.dist else point.value for point in points))
        raise AdapterNotUsable(f"two packages bring an adapter {name}: {who}; uninstall one of them")
    try:
        loaded: Any = points[0].load()
        spec = loaded.spec
    except Exception as error:
        where = points[0].dist.name if points[0].dist else points[0].value
        raise AdapterNotUsable(f"the adapter {name} of {where} does not load: {error}") from error
    if spec.name != name:
        raise AdapterNotUsable(f"the adapter {name} calls itself {spec.name}: its entry point and spec must agree")
    return loaded  # type: ignore[no-any-return]
