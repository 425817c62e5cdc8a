"""Kaufland's own words: signatures, enumerations, examples and error bodies, as its contract and documents have them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from marketsync.adapter.api import Command, CommandLine, Money, Reply, SignedAuth, WebhookCall
from marketsync.adapter.errors import (
    AccountSuspended,
    AdapterError,
    AuthRefused,
    ChannelBlocked,
    ItemRefused,
    Unavailable,
)
from marketsync.testing.contract import Session
from marketsync.transport.status import error_of as by_status
from marketsync_adapters.kaufland import Credentials, KauflandAdapter, Settings, mapping, orders, reasons, signing
from marketsync_adapters.kaufland import settings as written
from marketsync_adapters.kaufland.errors import MEANINGS, error_of, problem_of
from tests.contract.kaufland_harness import CALLBACK, RULES, Bench, contract

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)  # 1772366400


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(contract().read_bytes())
    return loaded


def enum(document: dict[str, Any], name: str) -> list[str]:
    values: list[str] = document["components"]["schemas"][name]["enum"]
    return values


def example(document: dict[str, Any], operation: str, status: str = "") -> Any:
    """The contract's example of an operation's request, or of its reply with a status."""
    method, path = operation.split()
    body = document["paths"][path][method.lower()]
    content = (body["responses"][status] if status else body["requestBody"])["content"]["application/json"]
    return content["example"] if "example" in content else next(iter(content["examples"].values()))["value"]


class TestSignature:
    """The vectors were made outside this project: `openssl dgst -sha256 -hmac SECRET` over the four lines."""

    @pytest.mark.parametrize(
        ("method", "url", "body", "expected"),
        [
            (
                "GET",
                "https://sellerapi.kaufland.com/v2/units?storefront=de&limit=100",
                "",
                "3c565f597a8b7fbd1391133e24f06ceb1254fcbce3fd5fd482281ec00e3d0d5e",
            ),
            (
                "PATCH",
                "https://sellerapi.kaufland.com/v2/units/42?storefront=de",
                '{"amount":3,"note":"Größe"}',
                "dbb4f612c8e59dcacfb13ec053f643bfc4fabe4511fb12d0e389049bec8398a7",
            ),
        ],
    )
    def test_a_request_is_signed_over_method_address_body_and_time(
        self, method: str, url: str, body: str, expected: str
    ) -> None:
        """In hex; the secret is a text although it looks like hex, an empty body leaves an empty line."""
        auth = written.auth(Credentials(client_key="key", secret_key=SecretStr(RULES.secret_key)), Settings())
        assert isinstance(auth, SignedAuth)
        headers = auth.sign(method, url, body.encode(), NOON)
        assert {"Shop-Client-Key": "key", "Shop-Timestamp": "1772366400", "Shop-Signature": expected} == headers

    def test_a_partner_signs_as_well(self) -> None:
        """The same lines with the partner's own secret, beside the seller's."""
        credentials = Credentials(
            client_key="key",
            secret_key=SecretStr("other"),
            partner_client_key="house",
            partner_secret_key=SecretStr(RULES.secret_key),
        )
        auth = written.auth(credentials, Settings())
        assert isinstance(auth, SignedAuth)
        headers = auth.sign("GET", "https://sellerapi.kaufland.com/v2/units?storefront=de&limit=100", b"", NOON)
        assert headers["Shop-Partner-Client-Key"] == "house"
        expected = "3c565f597a8b7fbd1391133e24f06ceb1254fcbce3fd5fd482281ec00e3d0d5e"
        assert expected == headers["Shop-Partner-Signature"] != headers["Shop-Signature"]

    def test_a_notification_is_signed_over_our_own_address(self) -> None:
        """POST to our address; five minutes are granted, no more, and no other address."""
        body = b'{"event_name":"order_new","id_message":"m-1","resource":"/v2/orders/M1/","storefront":"de"}'
        headers = {
            "shop-timestamp": "1772366400",
            "shop-signature": "560ee3bbbb23ce0494010cfc188cfa7ccb1b80651467a3c61110a84b19cec22d",
        }
        call = WebhookCall(headers=headers, body=body, received=NOON + timedelta(minutes=4))
        assert NOON == signing.verified(call, CALLBACK, RULES.secret_key)
        late = WebhookCall(headers=headers, body=body, received=NOON + timedelta(minutes=6))
        for wrong, url in ((late, CALLBACK), (call, f"{CALLBACK}/")):
            with pytest.raises(AuthRefused):
                signing.verified(wrong, url, RULES.secret_key)

    @pytest.mark.parametrize("timestamp", ["", "soon", "-1", "9" * 40, "١٢٣"])
    def test_a_strange_timestamp_is_a_wrong_signature(self, timestamp: str) -> None:
        """Whatever stands there, it is refused and nothing breaks."""
        call = WebhookCall(headers={"shop-timestamp": timestamp, "shop-signature": "x"}, body=b"", received=NOON)
        with pytest.raises(AuthRefused):
            signing.verified(call, CALLBACK, RULES.secret_key)


class TestEnumerations:
    """What is written down here is what the contract says today."""

    def test_storefronts_locales_and_currencies(self, document: dict[str, Any]) -> None:
        """Seven storefronts, each with its locale and its currency."""
        assert sorted(enum(document, "Storefront")) == sorted(mapping.CURRENCIES) == sorted(mapping.LOCALES)
        assert sorted(enum(document, "Storefront")) == sorted(get_args(written.Storefront))
        assert sorted(enum(document, "Locale")) == sorted(mapping.LOCALES.values())
        assert sorted(enum(document, "Currency")) == sorted(set(mapping.CURRENCIES.values()))

    def test_reasons(self, document: dict[str, Any]) -> None:
        """Ten reasons to cancel, eight to refund."""
        assert list(reasons.CANCEL_REASONS) == list(get_args(written.CancelReason))
        assert list(reasons.REFUND_REASONS) == list(get_args(written.RefundReason))
        assert sorted(enum(document, "OrderUnitCancelReason")) == sorted(reasons.CANCEL_REASONS)
        assert sorted(enum(document, "OrderUnitRefundReason")) == sorted(reasons.REFUND_REASONS)

    def test_states_conditions_and_vat(self, document: dict[str, Any]) -> None:
        """Every state that a piece can be in has a meaning; every condition can be written."""
        assert sorted(enum(document, "OrderUnitStatus")) == sorted(orders.STATES)
        assert enum(document, "UnitCondition") == [
            mapping.condition_out(one) for one in enum(document, "UnitCondition")
        ]
        assert sorted(enum(document, "WriteableVatIndicator")) == sorted(get_args(written.VatIndicator))

    def test_the_20_commonest_problems_are_problems_of_kaufland(self, document: dict[str, Any]) -> None:
        """Each has a sentence, and none was invented."""
        known = {one.removeprefix("/problems/") for one in enum(document, "ProblemType")}
        assert set(MEANINGS) <= known
        assert len(MEANINGS) >= 20
        assert all(meaning.hint.endswith(".") for meaning in MEANINGS.values())


class TestExamplesOfTheContract:
    def test_a_unit(self, document: dict[str, Any]) -> None:
        """The example unit is read: cents of its currency, an id as text."""
        seen = mapping.seen(example(document, "POST /units", "200")["data"], None)
        assert ("string", "1", "merchant") == (seen.sku, seen.channel_id, seen.fulfilled_by)
        assert seen.price is not None
        assert Money(1, "EUR") == seen.price.amount

    def test_product_data(self, document: dict[str, Any]) -> None:
        """The example product is read, pictures with an alternative text too."""
        product = example(document, "GET /product-data/{ean}", "200")["data"]
        listing = mapping.listing_in({"condition": "NEW"}, product)
        assert ("Chocolat", "4009750243800", "new") == (listing.title, listing.gtin, listing.condition)
        assert ["http://www.example.com/chocolat.jpg"] * 2 == list(listing.images[1:])

    def test_sending_a_piece_with_two_parcels(self, document: dict[str, Any]) -> None:
        """Our request is the example, letter by letter."""
        body = example(document, "PATCH /order-units/{id_order_unit}/send")
        assert body["carrier_code"] == reasons.carrier_code("dhl", body["tracking_numbers"], {})
        assert body == self._sent("ship", tracking=body["tracking_numbers"], carrier="dhl")

    def test_refunding_a_piece(self, document: dict[str, Any]) -> None:
        """12.99 EUR leave as 1299."""
        body = example(document, "PATCH /order-units/{id_order_unit}/refund")
        assert body == self._sent("refund", amount=Money(body["amount"], "EUR"), reason=body["reason"])

    def _sent(self, kind: str, *, amount: Money | None = None, **more: Any) -> Any:
        """The last body that a command for one paid and sendable piece makes us send."""
        bench = Bench()
        bench.seed(1)
        bench.market.sales.buy([("seed-00000", 1)])
        bench.market.sales.pieces[1].price = 2_000
        bench.market.sales.pieces[1].status = "need_to_be_sent"
        bodies: list[Any] = []
        act = bench.market.sales.act
        bench.market.sales.act = lambda *args, **kwargs: (bodies.append(args[2]), act(*args, **kwargs))[1]  # type: ignore[method-assign]
        line = CommandLine(line_id="seed-00000", sku="seed-00000", quantity=1, amount=amount)

        async def test(session: Session) -> None:
            await getattr(session.adapter, kind)(Command(key="k", order_id="M0000001", lines=(line,), **more))

        bench.harness().run(test)
        return bodies[-1]


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "kind", "error"),
        [
            (401, "invalid-credentials", AuthRefused),
            (401, "corrupted-signature", AuthRefused),
            (403, "inactive-account", AccountSuspended),
            (400, "storefront-not-configured", ChannelBlocked),
            (400, "units/bulk-duplicate-units", ItemRefused),
            (400, "units/bulk-too-many-butches", Unavailable),
        ],
    )
    def test_a_refused_request_becomes_what_the_engine_does(
        self, status: int, kind: str, error: type[AdapterError]
    ) -> None:
        """The type decides, the sentence is for a person, Kaufland's code is kept."""
        body = json.dumps({"type": f"/problems/{kind}", "message": "No", "errors": []}).encode()
        told = error_of("bulk", Reply(status, {}, body, json.loads))
        assert type(told) is error
        assert told is not None
        assert kind == told.code
        assert MEANINGS[kind].hint in told.message

    @pytest.mark.parametrize("status", [200, 429, 500, 503])
    def test_the_rest_is_left_to_the_status_table(self, status: int) -> None:
        """Replies that are none of Kaufland's refusals are not looked at."""
        assert error_of("bulk", Reply(status, {}, b"<html>", json.loads)) is None

    def test_fields_are_told_with_what_to_do(self) -> None:
        """A validation error names the field, and the hint is about that field."""
        body = {"message": "Validation failed", "errors": [{"field": "amount", "message": "must be 0 or more"}]}
        problem = problem_of(body, 400)
        assert problem.text == "Validation failed (amount: must be 0 or more)"
        assert "show_at_most" in problem.hint

    def test_423_is_only_busy(self) -> None:
        """As Kaufland's import files answer while another is running: nothing was done, later it may be."""
        assert error_of("listing", Reply(423, {}, b'{"message": "Locked", "errors": []}', json.loads)) is None
        told = by_status(423, {}, now=NOON, operation="listing", account="kaufland", write=True, evidence="")
        assert type(told) is Unavailable


class TestSettings:
    @pytest.mark.parametrize(
        ("model", "given", "match"),
        [
            (Credentials, {"client_key": "k", "secret_key": "s", "partner_client_key": "p"}, "belong together"),
            (Settings, {"fallback_email": "a@example.com"}, "belong together"),
            (Settings, {"storefront": "uk"}, "storefront"),
            (Settings, {"rate": 112}, "less than or equal to 111"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, model: type[BaseModel], given: dict[str, Any], match: str) -> None:
        """At the start, with the reason."""
        with pytest.raises(ValidationError, match=match):
            model.model_validate(given)

    def test_the_rate_is_careful_until_somebody_says_otherwise(self) -> None:
        """Three requests a second over all storefronts, one bucket for everything."""
        (bucket,) = written.buckets(Settings())
        assert ("api", 3.0) == (bucket.name, getattr(bucket, "per_second", None))
        assert {("api",)} == {operation.buckets for operation in KauflandAdapter.spec.operations}

    @pytest.mark.parametrize(
        ("gtin", "ean"),
        [("4006381333931", "4006381333931"), ("194252013212", "0194252013212"), ("14006381333938", "14006381333938")],
    )
    def test_an_ean_has_13_or_14_digits(self, gtin: str, ean: str) -> None:
        """A UPC gets the zero that it stands for."""
        assert ean == mapping.ean_out(gtin)
