"""The check of an account: who is logged in, whether its policies exist, what zero does, how many calls are left."""

from collections.abc import Iterator

from marketsync.adapter.api import AdapterContext
from marketsync.adapter.errors import ChannelBlocked, QuotaSpent
from marketsync_adapters.ebay.client import Client, Document
from marketsync_adapters.ebay.orders import time_in
from marketsync_adapters.ebay.settings import Settings

DAY = 86_400


async def check(client: Client, settings: Settings, context: AdapterContext) -> str:
    """One line for a person. Raises ``ChannelBlocked`` where listing could not work, ``QuotaSpent`` at a spent quota."""
    await _programs(client, settings)
    for kind in ("fulfillment", "payment", "return"):
        await _policy(client, settings, kind)
    location = await client.location(settings.merchant_location_key)
    if location is None:
        raise ChannelBlocked(
            f"eBay knows no inventory location {settings.merchant_location_key!r}: correct merchant_location_key",
            code="unknown_location",
        )
    left = await _calls_left(client, settings, context)
    return f"eBay seller on {settings.marketplace}, policies and location found{left}"


async def _programs(client: Client, settings: Settings) -> None:
    programs = await client.programs()
    if "SELLING_POLICY_MANAGEMENT" not in programs:
        message = "the account does not use business policies: opt in on eBay (Account settings, Business policies)"
        raise ChannelBlocked(message, code="no_business_policies")
    if settings.out_of_stock_control and "OUT_OF_STOCK_CONTROL" not in programs:
        raise ChannelBlocked(
            "the account ends listings that sell out: turn on the out-of-stock option in eBay's selling preferences, "
            "or set out_of_stock_control to false",
            code="no_out_of_stock_control",
        )


async def _policy(client: Client, settings: Settings, kind: str) -> None:
    policy_id: str = getattr(settings, f"{kind}_policy_id")
    policy = await client.policy(kind, policy_id)
    if policy is None:
        message = f"the account has no {kind} policy {policy_id}: correct {kind}_policy_id"
        raise ChannelBlocked(message, code="unknown_policy")
    if policy.get("marketplaceId") not in {None, settings.marketplace}:
        message = f"the {kind} policy {policy_id} is for {policy['marketplaceId']}, not for {settings.marketplace}"
        raise ChannelBlocked(message, code="wrong_policy")


async def _calls_left(client: Client, settings: Settings, context: AdapterContext) -> str:
    """What eBay tells of the day's calls. A limit below the setting is told: the limiter cannot learn a quota."""
    told = []
    ours = {"inventory": settings.inventory_calls_per_day, "fulfillment": settings.fulfillment_calls_per_day}
    for name, rate in _daily(await client.rate_limits()):
        if name not in ours:
            continue
        limit, remaining = int(rate.get("limit") or 0), int(rate.get("remaining") or 0)
        if limit and remaining <= 0:
            message = f"today's {limit} calls of the {name} API are used up"
            raise QuotaSpent(message, until=time_in(str(rate["reset"])), code="2001")
        if limit and limit < ours[name]:
            message = "eBay allows fewer calls a day than the setting says"
            context.log.warning(message, setting=f"{name}_calls_per_day", allowed=limit, configured=ours[name])
        told.append(f"{remaining} of {limit} {name} calls left today")
    return "".join(f", {one}" for one in dict.fromkeys(told))


def _daily(limits: list[Document]) -> Iterator[tuple[str, Document]]:
    for limit in limits:
        for resource in limit.get("resources") or ():
            for rate in resource.get("rates") or ():
                if rate.get("timeWindow") == DAY:
                    yield str(limit.get("apiName") or "").lower(), rate
