"""Which operation of an adapter carries what is due: chosen per lane, by the size of the backlog. Pure."""

from collections.abc import Mapping

from marketsync.adapter.content import Aspect
from marketsync.adapter.spec import AdapterSpec, Operation
from marketsync.ledger.claims import Door
from marketsync.ledger.outbox import Lane

_CARRIED: Mapping[Lane, Aspect] = {
    Lane.ZERO: Aspect.STOCK,
    Lane.PRICE_FIRST: Aspect.PRICE,
    Lane.LOWER: Aspect.STOCK,
    Lane.RAISE: Aspect.STOCK,
    Lane.PRICE: Aspect.PRICE,
    Lane.LISTING: Aspect.LISTING,
}


def doors(spec: AdapterSpec, backlog: Mapping[Lane, int]) -> list[Door]:
    """The doors to try, the most urgent first. ``backlog``: offers due by lane.

    Lanes that go through the same operation share its batches, so that they are full.
    """
    found: list[tuple[Lane, Operation, str]] = [
        (Lane.ZERO, operation, "withdraw") for operation in spec.operations if operation.withdraws
    ]
    found += _zero_doors(spec, backlog.get(Lane.ZERO, 0))
    for lane, aspect in _CARRIED.items():
        carriers = [op for op in spec.operations if aspect in op.aspects and not op.withdraws]
        if lane is Lane.LISTING:
            found += _listing_doors(carriers, backlog.get(lane, 0))
        elif carriers:
            found.append((lane, _best(_settled(carriers), backlog.get(lane, 0)), "any"))
    return _joined(found)


def _zero_doors(spec: AdapterSpec, backlog: int) -> list[tuple[Lane, Operation, str]]:
    """Zeros go through the urgent doors at once, unless there are so many that a door made for backlogs is sooner
    done: then it goes first, and the urgent ones take what it leaves or cannot take now.
    """
    carriers = [op for op in spec.operations if Aspect.STOCK in op.aspects and not op.withdraws]
    chosen = [op for op in carriers if op.urgent]
    best = _best(_settled(carriers), backlog) if carriers else None
    if best is not None and best.worth_from:
        chosen = [best, *chosen]
    return [(Lane.ZERO, operation, "any") for operation in chosen]


def _settled(carriers: list[Operation]) -> list[Operation]:
    """The doors for what is on the channel already, where there are such."""
    return [op for op in carriers if not op.creates] or carriers


def _listing_doors(carriers: list[Operation], backlog: int) -> list[tuple[Lane, Operation, str]]:
    creators = [op for op in carriers if op.creates]
    updaters = [op for op in carriers if not op.creates]
    if not creators or not updaters:
        return [(Lane.LISTING, _best(carriers, backlog), "any")] if carriers else []
    return [
        (Lane.LISTING, _best(updaters, backlog), "update"),
        (Lane.LISTING, _best(creators, backlog), "create"),
    ]


def _best(operations: list[Operation], backlog: int) -> Operation:
    """The door made for the largest backlog that ours reaches; of those, the one that carries least else."""
    worth = [op for op in operations if op.worth_from <= backlog] or [min(operations, key=lambda op: op.worth_from)]
    return max(worth, key=lambda op: (op.worth_from, -len(op.aspects)))


def _joined(found: list[tuple[Lane, Operation, str]]) -> list[Door]:
    lanes: dict[tuple[str, str], list[Lane]] = {}
    operations = {operation.name: operation for _, operation, _ in found}
    for lane, operation, takes in found:
        chosen = lanes.setdefault((operation.name, takes), [])
        if lane not in chosen:
            chosen.append(lane)
    return [Door(operations[name], tuple(sorted(chosen)), takes) for (name, takes), chosen in lanes.items()]
