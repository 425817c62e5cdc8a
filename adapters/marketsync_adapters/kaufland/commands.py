"""Commands: what is told about an order, piece by piece. Kaufland remembers no key: nothing here is sent twice."""

from collections.abc import Mapping, Sequence
from typing import Any

from marketsync.adapter.api import Command, CommandResult, Result
from marketsync.adapter.errors import OutcomeUnknown, Retryable
from marketsync_adapters.kaufland import orders, reasons
from marketsync_adapters.kaufland.client import Client
from marketsync_adapters.kaufland.errors import MEANINGS, Problem
from marketsync_adapters.kaufland.orders import NotPossible, Unit

_DONE: Mapping[str, frozenset[str]] = {
    "acknowledge": orders.STATES - {"open"},
    "ship": orders.SENT,
    "cancel": orders.CANCELLED,
}


class Commands:
    def __init__(self, client: Client, *, carriers: Mapping[str, str], cancel_reason: str, refund_reason: str) -> None:
        self._client = client
        self._carriers = carriers
        self._cancel_reason = cancel_reason
        self._refund_reason = refund_reason

    async def acknowledge(self, command: Command) -> CommandResult:
        """Move every open unit to `need_to_be_sent`; those that are further are acknowledged already."""
        order = await self._client.order(command.order_id)
        if order is None:
            return _unknown_order(command)
        done = 0
        for unit in order["order_units"]:
            if unit["status"] == "open":
                problem = await self._fulfil(command.order_id, unit)
                if problem is not None:
                    return _refused(problem, unit, done)
                done += 1
        return CommandResult(result=Result.APPLIED, reference=command.order_id)

    async def _fulfil(self, order_id: str, unit: Unit) -> Problem | None:
        """Move one open unit on. None where it is further now, whoever moved it: the answer of a first try may be lost."""
        problem = await self._client.act("acknowledge", unit["id_order_unit"], "fulfil")
        if problem is None:
            return None
        order = await self._client.order(order_id) or {"order_units": ()}
        now = {one["id_order_unit"]: one["status"] for one in order["order_units"]}
        return None if now.get(unit["id_order_unit"]) == "need_to_be_sent" else problem

    async def ship(self, command: Command) -> CommandResult:
        if command.lines and all(line.quantity == 0 for line in command.lines):
            return await self._further_parcel(command)

        async def send(unit: Unit, carrier: str) -> Problem | None:
            if unit["status"] == "open":  # Kaufland knows no way from open to sent but this one
                problem = await self._fulfil(command.order_id, unit)
                if problem is not None:
                    return problem
            body = {"tracking_numbers": command.tracking, "carrier_code": carrier}
            return await self._client.act("ship", unit["id_order_unit"], "send", body)

        order = await self._client.order(command.order_id)
        if order is None:
            return _unknown_order(command)
        try:
            chosen = orders.targets(order, command.lines, orders.OPEN)
        except NotPossible as problem:
            return CommandResult(result=Result.REJECTED, code=problem.code, message=problem.message)
        carrier = await self._carrier(command)
        return await _each([unit for unit, _ in chosen], lambda unit, _: send(unit, carrier))

    async def cancel(self, command: Command) -> CommandResult:
        body = {"reason": reasons.cancel_reason(command.reason, self._cancel_reason)}
        order = await self._client.order(command.order_id)
        if order is None:
            return _unknown_order(command)
        try:
            chosen = orders.targets(order, command.lines, orders.OPEN)
        except NotPossible as problem:
            return CommandResult(result=Result.REJECTED, code=problem.code, message=problem.message)
        return await _each(
            [unit for unit, _ in chosen],
            lambda unit, _: self._client.act("cancel", unit["id_order_unit"], "cancel", body),
        )

    async def refund(self, command: Command) -> CommandResult:
        reason = reasons.refund_reason(command.reason, self._refund_reason)
        order = await self._client.order(command.order_id)
        if order is None:
            return _unknown_order(command)
        try:
            chosen = orders.targets(order, command.lines, orders.REFUNDABLE)
            amounts = orders.refund_amounts(chosen)
        except NotPossible as problem:
            return CommandResult(result=Result.REJECTED, code=problem.code, message=problem.message)

        def pay(unit: Unit, number: int) -> Any:
            body = {"amount": amounts[number], "reason": reason}
            return self._client.act("refund", unit["id_order_unit"], "refund", body)

        return await _each([unit for unit, _ in chosen], pay)

    async def look_up(self, kind: str, command: Command) -> CommandResult | None:
        """Whether an earlier attempt took effect, as the states of its pieces tell; of refunds they tell nothing."""
        if kind not in _DONE or (kind == "ship" and any(line.quantity == 0 for line in command.lines)):
            what = "refunds" if kind == "refund" else "further parcels"
            message = f"Kaufland does not tell of {what}: look at order {command.order_id} in the seller portal"
            return CommandResult(result=Result.UNKNOWN, code="not_told", message=message)
        order = await self._client.order(command.order_id)
        if order is None:
            return None
        found = orders.progress(order, command.lines, _DONE[kind])
        if found is None:
            message = f"the command names no pieces: look at order {command.order_id} in the seller portal"
            return CommandResult(result=Result.UNKNOWN, code="pieces_unknown", message=message)
        done, pieces = found
        if done == pieces:
            return CommandResult(result=Result.APPLIED, reference=_reference(order["order_units"], command))
        if not done or kind == "acknowledge":  # what is left of an acknowledgement may simply be sent
            return None
        message = f"it was done to {done} of {pieces} pieces: tell the rest in a command of its own"
        return CommandResult(result=Result.UNKNOWN, code="partly", message=message)

    async def _further_parcel(self, command: Command) -> CommandResult:
        """A shipment of lines with quantity 0: one more parcel of pieces that were sent before."""
        order = await self._client.order(command.order_id)
        if order is None:
            return _unknown_order(command)
        sent: list[Unit] = []
        for line in command.lines:
            group = orders.grouped(order["order_units"]).get(line.line_id, [])
            fit = [unit for unit in group if unit["status"] in orders.SENT]
            sent += [unit for unit in fit if str(unit["id_order_unit"]) in line.unit_ids] or fit[:1]
        if not sent or not command.tracking:
            message = "a further parcel needs a tracking number and a piece that was sent before"
            return CommandResult(result=Result.REJECTED, code="no_parcel", message=message)
        carrier = await self._carrier(command)
        return await _each(
            sent, lambda unit, _: self._client.add_shipment(unit["id_order_unit"], command.tracking, carrier)
        )

    async def _carrier(self, command: Command) -> str:
        """The carrier in Kaufland's words; its own list is asked for a name that we do not know."""
        known = reasons.carrier_code(command.carrier, command.tracking, self._carriers)
        return known or reasons.listed_carrier(command.carrier, await self._client.carriers())


async def _each(units: Sequence[Unit], act: Any) -> CommandResult:
    """Do something to one unit after the other. Raises ``OutcomeUnknown`` where it breaks off in the middle."""
    for done, unit in enumerate(units):
        try:
            problem = await act(unit, done)
        except OutcomeUnknown:
            raise
        except Retryable as error:
            if not done:
                raise
            message = f"it was done to {done} of {len(units)} pieces, then: {error.message}"
            raise OutcomeUnknown(message, code="partly", evidence=error.evidence) from error
        if problem is not None:
            return _refused(problem, unit, done)
    return CommandResult(result=Result.APPLIED, reference=",".join(str(unit["id_order_unit"]) for unit in units))


def _refused(problem: Problem, unit: Unit, done: int) -> CommandResult:
    before = f"{done} pieces are done; " if done else ""
    meaning = MEANINGS.get(problem.code)
    retry = meaning is not None and meaning.result is Result.RETRY and not done
    message = f"{before}unit {unit['id_order_unit']}: {problem.text} {problem.hint}".strip()
    return CommandResult(result=Result.RETRY if retry else Result.REJECTED, code=problem.code, message=message)


def _unknown_order(command: Command) -> CommandResult:
    message = f"Kaufland has no order {command.order_id}"
    return CommandResult(result=Result.REJECTED, code="not-found", message=message)


def _reference(units: Sequence[Unit], command: Command) -> str:
    named = [unit_id for line in command.lines for unit_id in line.unit_ids]
    return ",".join(named or [str(unit["id_order_unit"]) for unit in units])
