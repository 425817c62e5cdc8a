"""The referee lets good exchanges pass and names what is wrong with bad ones, on the providers' own contracts."""

import asyncio
import json
import os
from pathlib import Path
from typing import ClassVar

import httpx
import pytest

from marketsync.testing.referee import Referee, RefereedTransport, Violation

CONTRACTS = Path(os.environ.get("MARKETSYNC_CONTRACTS", Path(__file__).resolve().parents[3] / "shared" / "contracts"))
JSON = {"Content-Type": "application/json"}


def contract(name: str) -> Path:
    path = CONTRACTS / name
    if not path.exists():
        pytest.skip(f"the contract {name} is not at hand (MARKETSYNC_CONTRACTS)")
    return path


def faults(raised: pytest.ExceptionInfo[Violation]) -> str:
    return " | ".join(raised.value.faults)


class TestKaufland:
    @pytest.fixture(scope="class")
    @classmethod
    def referee(cls) -> Referee:
        return Referee.from_openapi(contract("kaufland/swagger-2.27.0.json"), limits={"POST /units/bulk": {"": 150}})

    def test_a_good_request_passes_and_is_counted(self, referee: Referee) -> None:
        """A page of orders, asked for as the contract says."""
        query = [("storefront", "de"), ("ts_units_updated_from_iso", "2026-03-01T12:00:00Z"), ("limit", "30")]
        assert referee.check_request("GET", "/v2/orders", query, {}) == "GET /orders"
        assert referee.coverage["GET /orders"] >= 1

    def test_a_bad_request_is_told_where_it_is_bad(self, referee: Referee) -> None:
        """An unknown parameter, a storefront that does not exist, a limit that is no number: all at once."""
        query = [("storefront", "xx"), ("since", "yesterday"), ("limit", "many")]
        with pytest.raises(Violation) as raised:
            referee.check_request("GET", "/v2/orders", query, {})
        assert "query.since: the contract has no such parameter" in faults(raised)
        assert "query.storefront" in faults(raised)
        assert "query.limit" in faults(raised)

    def test_a_limit_told_only_in_prose_is_kept(self, referee: Referee) -> None:
        """151 units in a bulk update are one too many."""
        units = [{"id_unit": number, "unit_data": {"listing_price": 1_000}} for number in range(1, 152)]
        query = {"storefront": "de"}
        assert referee.check_request("POST", "/v2/units/bulk", query, JSON, json.dumps(units[:150]).encode())
        with pytest.raises(Violation, match="151 entries are more than 150"):
            referee.check_request("POST", "/v2/units/bulk", query, JSON, json.dumps(units).encode())

    def test_a_missing_body_and_parameter_are_told(self, referee: Referee) -> None:
        """What is required has to be there."""
        with pytest.raises(Violation) as raised:
            referee.check_request("POST", "/v2/units/bulk", {}, JSON)
        assert ("query.storefront: is required", "body: is required") == raised.value.faults

    def test_replies_are_judged_too(self, referee: Referee) -> None:
        """An empty page passes; a reply without its list and a status that is not in the contract do not."""
        page = {"data": [], "pagination": {"offset": 0, "limit": 30, "total": 0}}
        referee.check_reply("GET", "/v2/orders", 200, JSON, json.dumps(page).encode())
        with pytest.raises(Violation, match="body"):
            referee.check_reply("GET", "/v2/orders", 200, JSON, b'{"data": "none"}')
        with pytest.raises(Violation, match="status is none of"):
            referee.check_reply("GET", "/v2/orders", 418, JSON, b"{}")

    def test_an_operation_that_does_not_exist_is_told(self, referee: Referee) -> None:
        """Neither path nor method may be invented."""
        with pytest.raises(Violation, match="the contract has no PATCH /v2/orders"):
            referee.check_request("PATCH", "/v2/orders", {}, {})

    def test_a_limit_for_an_unknown_operation_is_a_mistake(self) -> None:
        """A limit that guards nothing is refused at once."""
        with pytest.raises(ValueError, match="POST /unit/bulk"):
            Referee.from_openapi(contract("kaufland/swagger-2.27.0.json"), limits={"POST /unit/bulk": {"": 150}})


class TestAmazonOrders:
    PATH = "/orders/2026-01-01/orders"

    @pytest.fixture(scope="class")
    @classmethod
    def referee(cls) -> Referee:
        path = contract("amazon-sp-api/models/orders-api-model/orders_2026-01-01.json")
        return Referee.from_swagger2(path, limits={f"GET {cls.PATH}": {"?maxResultsPerPage": 100}})

    def test_a_good_request_passes(self, referee: Referee) -> None:
        """Lists travel with commas, as Swagger 2 has them."""
        query = {
            "lastUpdatedAfter": "2026-03-01T12:00:00Z",
            "marketplaceIds": "A1PA6795UKMFR9,A1RKKUPIHCS9HS",
            "maxResultsPerPage": "100",
        }
        assert f"GET {self.PATH}" == referee.check_request("GET", self.PATH, query, {})

    def test_a_bad_request_is_refused(self, referee: Referee) -> None:
        """A time that is none and a page above the maximum."""
        query = {"lastUpdatedAfter": "yesterday", "maxResultsPerPage": "101"}
        with pytest.raises(Violation) as raised:
            referee.check_request("GET", self.PATH, query, {})
        assert "query.lastUpdatedAfter" in faults(raised)
        assert "query.maxResultsPerPage: 101 is above 100" in faults(raised)

    def test_the_provider_s_own_example_passes(self, referee: Referee) -> None:
        """Every reply that the model itself shows for a search is a valid one; a broken copy of it is not."""
        path = contract("amazon-sp-api/models/orders-api-model/orders_2026-01-01.json")
        operation = json.loads(path.read_text())["paths"][self.PATH]["get"]
        pairs = operation["responses"]["200"]["x-amzn-api-sandbox"]["static"]
        assert pairs
        for pair in pairs:
            referee.check_reply("GET", self.PATH, 200, JSON, json.dumps(pair["response"]).encode())
        broken = pairs[0]["response"] | {"orders": "none"}
        with pytest.raises(Violation, match=r"body\.orders"):
            referee.check_reply("GET", self.PATH, 200, JSON, json.dumps(broken).encode())


class TestShopify:
    PATH = "/admin/api/2026-07/graphql.json"
    QUERY = "query Orders($first: Int!) { orders(first: $first) { nodes { id name } pageInfo { hasNextPage } } }"

    @pytest.fixture(scope="class")
    @classmethod
    def referee(cls) -> Referee:
        return Referee.from_graphql(contract("shopify/admin_2026-07.json.gz"))

    def body(self, query: str, **variables: object) -> bytes:
        return json.dumps({"query": query, "variables": variables}).encode()

    def test_a_good_request_passes(self, referee: Referee) -> None:
        """The document is valid and the variables fit."""
        assert referee.check_request("POST", self.PATH, {}, JSON, self.body(self.QUERY, first=50)) == "query orders"

    def test_an_unknown_field_is_refused(self, referee: Referee) -> None:
        """A field that this version of the API does not have."""
        query = self.QUERY.replace("name", "nickname", 1)
        with pytest.raises(Violation, match="Cannot query field 'nickname'"):
            referee.check_request("POST", self.PATH, {}, JSON, self.body(query, first=50))

    def test_a_wrong_variable_is_refused(self, referee: Referee) -> None:
        """A text where a number belongs, and a required variable that is missing."""
        with pytest.raises(Violation, match="variables"):
            referee.check_request("POST", self.PATH, {}, JSON, self.body(self.QUERY, first="many"))
        with pytest.raises(Violation, match="variables"):
            referee.check_request("POST", self.PATH, {}, JSON, self.body(self.QUERY))

    @pytest.mark.parametrize(
        ("orders", "fault"),
        [
            ({"nodes": [{"id": "gid://1", "name": "#1"}], "pageInfo": {"hasNextPage": False}}, None),
            (
                {"nodes": [{"id": "gid://1"}], "pageInfo": {"hasNextPage": False}},
                "data.orders.nodes.0.name: is missing",
            ),
            ({"nodes": [], "pageInfo": {"hasNextPage": "no"}}, "data.orders.pageInfo.hasNextPage: 'no' is no Boolean"),
            ({"nodes": None, "pageInfo": {"hasNextPage": True}}, "data.orders.nodes: is null"),
            ({"nodes": [], "pageInfo": {"hasNextPage": True}, "total": 1}, "data.orders.total: was not asked for"),
        ],
    )
    def test_a_reply_has_the_shape_of_its_question(
        self, referee: Referee, orders: dict[str, object], fault: str | None
    ) -> None:
        """Everything that was asked for, nothing else, each value of its type."""
        reply = json.dumps({"data": {"orders": orders}}).encode()
        asked = self.body(self.QUERY, first=1)
        if fault is None:
            referee.check_reply("POST", self.PATH, 200, JSON, reply, request_body=asked)
            return
        with pytest.raises(Violation) as raised:
            referee.check_reply("POST", self.PATH, 200, JSON, reply, request_body=asked)
        assert fault in faults(raised)

    def test_fragments_are_followed(self, referee: Referee) -> None:
        """Of a union only the fields of the type that came are asked for."""
        query = (
            "query Node($id: ID!) { node(id: $id) { __typename id ... on Product { title } ...OrderName } } "
            "fragment OrderName on Order { name }"
        )
        asked = self.body(query, id="gid://shopify/Product/1")
        referee.check_request("POST", self.PATH, {}, JSON, asked)
        node = {"__typename": "Product", "id": "gid://shopify/Product/1", "title": "Chair"}
        referee.check_reply(
            "POST", self.PATH, 200, JSON, json.dumps({"data": {"node": node}}).encode(), request_body=asked
        )
        wrong = json.dumps({"data": {"node": node | {"name": "#1"}}}).encode()
        with pytest.raises(Violation, match=r"data\.node\.name: was not asked for"):
            referee.check_reply("POST", self.PATH, 200, JSON, wrong, request_body=asked)


@pytest.mark.parametrize(
    "name",
    [
        "ebay/sell_inventory_v1_oas3.json",
        "ebay/sell_fulfillment_v1_oas3.json",
        "mirakl/mirakl-mmp-seller-openapi.json",
        "otto/otto-market-reconstructed-2025-04.json",
        "shopware6/adminapi.subset.json",
        "woocommerce/woocommerce-openapi-3.0.x.yml",
    ],
)
def test_contracts_of_all_kinds_can_be_read(name: str) -> None:
    """OpenAPI 3.0 and 3.1, JSON and YAML; a path that is in none of them is refused."""
    with pytest.raises(Violation, match="the contract has no GET /no/such/path"):
        Referee.from_openapi(contract(name)).check_request("GET", "/no/such/path", {}, {})


def test_ebay_needs_its_language_and_a_token() -> None:
    """Required headers and credentials are part of a contract."""
    referee = Referee.from_openapi(contract("ebay/sell_inventory_v1_oas3.json"))
    body = json.dumps({"sku": "A", "marketplaceId": "EBAY_DE", "format": "FIXED_PRICE"}).encode()
    with pytest.raises(Violation) as raised:
        referee.check_request("POST", "/sell/inventory/v1/offer", {}, JSON, body)
    assert "header.content-language: is required" in faults(raised)
    assert "credentials: none of api_auth is sent" in faults(raised)
    headers = JSON | {"Content-Language": "de-DE", "Authorization": "Bearer t"}
    assert referee.check_request("POST", "/sell/inventory/v1/offer", {}, headers, body) == "POST /offer"


class TestTransport:
    CONTRACT: ClassVar[dict[str, object]] = {
        "openapi": "3.0.0",
        "servers": [{"url": "/v1"}],
        "paths": {
            "/stock/{sku}": {
                "put": {
                    "parameters": [{"name": "sku", "in": "path", "required": True, "schema": {"type": "string"}}],
                    "requestBody": {
                        "required": True,
                        "content": {
                            "application/json": {
                                "schema": {
                                    "type": "object",
                                    "required": ["quantity"],
                                    "properties": {"quantity": {"type": "integer", "nullable": True, "minimum": 0}},
                                }
                            }
                        },
                    },
                    "responses": {
                        "200": {
                            "description": "Done",
                            "content": {"application/json": {"schema": {"type": "object", "required": ["ok"]}}},
                        }
                    },
                }
            }
        },
    }

    def put(self, tmp_path: Path, path: str, document: object, status: int, reply: bytes) -> Referee:
        """One exchange through a referee; raises what it raises."""
        file = tmp_path / "contract.json"
        file.write_text(json.dumps(self.CONTRACT))
        referee = Referee.from_openapi(file)
        channel = httpx.MockTransport(lambda _request: httpx.Response(status, content=reply, headers=JSON))

        async def exchange() -> None:
            transport = RefereedTransport(channel, referee, free=("/token",))
            async with httpx.AsyncClient(transport=transport, base_url="https://channel.test") as client:
                response = await client.put(path, json=document)
                assert (status, reply) == (response.status_code, response.content)

        asyncio.run(exchange())
        return referee

    def test_a_good_exchange_passes_unchanged(self, tmp_path: Path) -> None:
        """A SKU with a slash stays one step of the path; null is allowed where the contract says nullable."""
        referee = self.put(tmp_path, "/v1/stock/a%2Fb", {"quantity": None}, 200, b'{"ok": true}')
        assert dict(referee.coverage) == {"PUT /stock/{sku}": 1}
        assert not referee.violations

    def test_a_bad_request_never_reaches_the_channel(self, tmp_path: Path) -> None:
        """The fault is told with its place."""
        with pytest.raises(Violation, match=r"request PUT /v1/stock/a: body\.quantity: -1 is less than"):
            self.put(tmp_path, "/v1/stock/a", {"quantity": -1}, 200, b'{"ok": true}')

    def test_a_bad_reply_is_the_sandbox_s_fault(self, tmp_path: Path) -> None:
        """What the channel would never answer is refused as well."""
        with pytest.raises(Violation, match="reply 200 to PUT /v1/stock/a: body: 'ok' is a required property"):
            self.put(tmp_path, "/v1/stock/a", {"quantity": 1}, 200, b"{}")

    def test_faults_and_free_paths_are_let_through(self, tmp_path: Path) -> None:
        """A 503 of a proxy and a token endpoint are not in the contract."""
        assert self.put(tmp_path, "/v1/stock/a", {"quantity": 1}, 503, b"<html>").coverage
        assert not self.put(tmp_path, "/token", {}, 200, b"{}").coverage
