"""Every GraphQL document that is sent to Shopify, with the points that it costs at most.

They are valid in every version of ``api_versions``. Where several products go into one request, a part is repeated under
aliases: ``#`` stands for its number. Costs follow Shopify's published rules (an object 1, a connection 2 and its
entries, a mutation 10, and what the input of productSet adds); what a request really costs is learned from its reply.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

API_VERSION: Final = "2026-10"

# Version -> until when Shopify serves it: a year after its release.
API_VERSIONS: Final = {"2026-04": "2027-04-01", "2026-07": "2027-07-01", "2026-10": "2027-10-01"}

PATH: Final = f"/admin/api/{API_VERSION}/graphql.json"

DEAREST: Final = 1_000  # points that one request may cost


@dataclass(frozen=True, slots=True)
class Document:
    text: str
    cost: float  # points, at its full size


@dataclass(frozen=True, slots=True)
class Part:
    """One field of a mutation that is repeated. ``variables`` and ``field`` carry ``#`` for the number."""

    name: str
    variables: str
    field: str
    cost: float
    shared: str = ""  # variables that all repetitions use


@cache
def repeated(part: Part, count: int) -> Document:
    """One mutation that does the same for ``count`` products, under the aliases p0, p1, ..."""
    numbers = range(count)
    variables = ", ".join([*filter(None, [part.shared]), *(part.variables.replace("#", str(n)) for n in numbers)])
    fields = " ".join(f"p{n}: {part.field.replace('#', str(n))}" for n in numbers)
    return Document(f"mutation {part.name}({variables}) {{ {fields} }}", count * part.cost)


# ---------------------------------------------------------------- the shop

ACCOUNT: Final = Document(
    "query account { shop { name myshopifyDomain currencyCode taxesIncluded }"
    " currentAppInstallation { accessScopes { handle } } publicApiVersions { handle supported } }",
    4,
)
LOCATIONS: Final = Document(
    "query locations($ids: [ID!]!) { nodes(ids: $ids) { ... on Location { __typename id name isActive } } }", 1
)  # per id

WEBHOOKS: Final = Document(
    "query webhooks($uri: String!, $after: String) { webhookSubscriptions(first: 50, after: $after, uri: $uri)"
    " { nodes { topic } pageInfo { hasNextPage endCursor } } }",
    53,
)
SUBSCRIBE: Final = Document(
    "mutation subscribe($topic: WebhookSubscriptionTopic!, $to: WebhookSubscriptionInput!)"
    " { webhookSubscriptionCreate(topic: $topic, webhookSubscription: $to) { userErrors { field message } } }",
    11,
)

# ---------------------------------------------------------------- reading offers

_SHOWN = """fragment Shown on ProductVariant {
  __typename id sku price compareAtPrice barcode selectedOptions { name value }
  product { id title descriptionHtml vendor productType status resourcePublicationsCount { count } }
  inventoryItem { id duplicateSkuCount %s }
}"""
_LEVEL = 'l#: inventoryLevel(locationId: $l#) { quantities(names: ["available"]) { name quantity } }'


def _shown(locations: int) -> tuple[str, str]:
    """(variables, fragment) for a variant with its stock at so many locations."""
    levels = " ".join(_LEVEL.replace("#", str(n)) for n in range(locations))
    return ", ".join(f"$l{n}: ID!" for n in range(locations)), _SHOWN % levels


def variant_cost(locations: int) -> int:
    return 5 + 2 * locations


@cache
def variants_page(locations: int) -> Document:
    """A page of variants; costs 3 and ``variant_cost`` for each."""
    variables, fragment = _shown(locations)
    return Document(
        f"query variants($first: Int!, $after: String, $query: String, {variables}) {{"
        " productVariants(first: $first, after: $after, query: $query, sortKey: ID) {"
        f" nodes {{ ...Shown }} pageInfo {{ hasNextPage endCursor }} }} }}\n{fragment}",
        3,
    )


@cache
def variants_by_id(locations: int) -> Document:
    """The variants with these ids; costs ``variant_cost`` for each."""
    variables, fragment = _shown(locations)
    return Document(f"query shown($ids: [ID!]!, {variables}) {{ nodes(ids: $ids) {{ ...Shown }} }}\n{fragment}", 0)


FIND_SKUS: Final = Document(
    "query findSkus($query: String!, $after: String) { productVariants(first: 30, after: $after, query: $query) {"
    " nodes { id sku product { id } inventoryItem { id } } pageInfo { hasNextPage endCursor } } }",
    93,
)
# Costs 5 and three for each of the ``variants``, per product.
PRODUCTS: Final = Document(
    "query products($ids: [ID!]!, $variants: Int!) { nodes(ids: $ids) { ... on Product { __typename id status"
    ' metafield(namespace: "$app:marketsync", key: "images") { value }'
    " variants(first: $variants) { nodes { id sku selectedOptions { name value } inventoryItem { id } }"
    " pageInfo { hasNextPage endCursor } } } } }",
    5,
)
PRODUCT_VARIANTS: Final = Document(
    "query productVariants($id: ID!, $after: String) { product(id: $id) { id variants(first: 250, after: $after) {"
    " nodes { id sku selectedOptions { name value } inventoryItem { id } } pageInfo { hasNextPage endCursor } } } }",
    754,
)

# ---------------------------------------------------------------- writing offers

_USER_ERRORS = "userErrors { field message }"
_CODED = "userErrors { field code message }"

# Costs two for each of the ``first`` variants, too, and what the input adds.
PRODUCT_SET: Final = Part(
    "product",
    "$identifier#: ProductSetIdentifiers, $input#: ProductSetInput!, $first#: Int!",
    "productSet(identifier: $identifier#, input: $input#, synchronous: true) { product { id variants(first: $first#)"
    f" {{ nodes {{ id sku inventoryItem {{ id }} }} }} }} {_CODED} }}",
    14,
)
PRODUCT_SET_LATER: Final = Document(
    "mutation productLater($identifier: ProductSetIdentifiers, $input: ProductSetInput!) {"
    " productSet(identifier: $identifier, input: $input, synchronous: false) {"
    f" productSetOperation {{ id status }} {_CODED} }} }}",
    12,
)
PRODUCT_OPERATION: Final = Document(
    "query productOperation($id: ID!) { productOperation(id: $id) { __typename status product { id }"
    f" ... on ProductSetOperation {{ id {_CODED} }} }} }}",
    3,
)
METAFIELDS_SET: Final = Document(
    "mutation metafields($metafields: [MetafieldsSetInput!]!) { metafieldsSet(metafields: $metafields) {"
    " userErrors { field code message elementIndex } } }",
    11,
)
PUBLISH: Final = Part(
    "publish",
    "$id#: ID!",
    f"publishablePublish(id: $id#, input: $publications) {{ {_USER_ERRORS} }}",
    11,
    shared="$publications: [PublicationInput!]!",
)
PRICES: Final = Part(
    "price",
    "$product#: ID!, $variants#: [ProductVariantsBulkInput!]!",
    f"productVariantsBulkUpdate(productId: $product#, variants: $variants#, allowPartialUpdates: true) {{ {_CODED} }}",
    11,
)
STOCK: Final = Document(
    "mutation stock($input: InventorySetQuantitiesInput!, $key: String!) {"
    f" inventorySetQuantities(input: $input) @idempotent(key: $key) {{ {_CODED} }} }}",
    11,
)
STATUS: Final = Part(
    "withdraw", "$product#: ProductUpdateInput!", f"productUpdate(product: $product#) {{ {_USER_ERRORS} }}", 11
)
UNPUBLISH: Final = Part(
    "unpublish",
    "$id#: ID!",
    f"publishableUnpublish(id: $id#, input: $publications) {{ {_USER_ERRORS} }}",
    11,
    shared="$publications: [PublicationInput!]!",
)
DELETE_VARIANTS: Final = Part(
    "deleteVariants",
    "$product#: ID!, $variants#: [ID!]!",
    f"productVariantsBulkDelete(productId: $product#, variantsIds: $variants#) {{ {_CODED} }}",
    11,
)

# ---------------------------------------------------------------- orders

_MONEY = "{ shopMoney { amount currencyCode } }"
_ADDRESS = "{ name company address1 address2 zip city province countryCodeV2 phone }"
_LINES = (
    "nodes { id sku title quantity currentQuantity unfulfilledQuantity"
    f" originalTotalSet {_MONEY} discountedTotalSet(withCodeDiscounts: true) {_MONEY}"
    f" taxLines {{ ratePercentage priceSet {_MONEY} }} }} pageInfo {{ hasNextPage endCursor }}"
)
ORDERS: Final = Document(
    "query orders($query: String!, $after: String) { orders(first: 9, after: $after, query: $query,"
    " sortKey: UPDATED_AT) { nodes { id name createdAt updatedAt cancelledAt currencyCode taxesIncluded email"
    " displayFinancialStatus displayFulfillmentStatus"
    f" totalPriceSet {_MONEY} totalShippingPriceSet {_MONEY} shippingAddress {_ADDRESS} billingAddress {_ADDRESS}"
    f" lineItems(first: 10) {{ {_LINES} }} }} pageInfo {{ hasNextPage endCursor }} }} }}",
    2 + 9 * (7 + 3 + 10 * 8) + 1,
)
ORDER_LINES: Final = Document(
    "query orderLines($id: ID!, $after: String) { order(id: $id) { lineItems(first: 100, after: $after) {"
    f" {_LINES} }} }} }}",
    1 + 3 + 100 * 8,
)
ORDER_REFUNDS: Final = Document(
    "query orderRefunds($id: ID!) { order(id: $id) { refunds(first: 20) { id refundLineItems(first: 20) {"
    " nodes { quantity lineItem { id } } pageInfo { hasNextPage endCursor } } } } }",
    1 + 20 * (1 + 3 + 20 * 2),
)
ORDER_FULFILLMENTS: Final = Document(
    "query orderFulfillments($id: ID!) { order(id: $id) { fulfillments(first: 20) { id status"
    " fulfillmentLineItems(first: 20) { nodes { quantity lineItem { id } } pageInfo { hasNextPage endCursor } } } } }",
    1 + 20 * (1 + 3 + 20 * 2),
)
REFUND_LINES: Final = Document(
    "query refundLines($id: ID!, $after: String) { node(id: $id) { ... on Refund { __typename"
    " lines: refundLineItems(first: 250, after: $after) { nodes { quantity lineItem { id } }"
    " pageInfo { hasNextPage endCursor } } } } }",
    1 + 3 + 250 * 2,
)
FULFILLMENT_LINES: Final = Document(
    "query fulfillmentLines($id: ID!, $after: String) { node(id: $id) { ... on Fulfillment { __typename"
    " lines: fulfillmentLineItems(first: 250, after: $after) { nodes { quantity lineItem { id } }"
    " pageInfo { hasNextPage endCursor } } } } }",
    1 + 3 + 250 * 2,
)
ORDER_IDS: Final = Document(
    "query orderIds($query: String!, $after: String) { orders(first: 250, after: $after, query: $query,"
    " sortKey: CREATED_AT) { nodes { id createdAt } pageInfo { hasNextPage endCursor } } }",
    253,
)

# ---------------------------------------------------------------- commands

_OPEN_LINES = "nodes { id remainingQuantity lineItem { id } } pageInfo { hasNextPage endCursor }"
FULFILLMENT_ORDERS: Final = Document(
    "query fulfillmentOrders($id: ID!) { order(id: $id) { id displayFinancialStatus cancelledAt"
    " fulfillmentOrders(first: 9) { nodes { id status supportedActions { action }"
    f" assignedLocation {{ location {{ id }} }} lineItems(first: 50) {{ {_OPEN_LINES} }} }}"
    " pageInfo { hasNextPage } } } }",
    1 + 3 + 9 * (4 + 3 + 50 * 2),
)
FULFILLMENT_ORDER_LINES: Final = Document(
    "query fulfillmentOrderLines($id: ID!, $after: String) { node(id: $id) { ... on FulfillmentOrder { __typename"
    f" lines: lineItems(first: 250, after: $after) {{ {_OPEN_LINES} }} }} }} }}",
    1 + 3 + 250 * 2,
)
SHIP: Final = Document(
    "mutation ship($fulfillment: FulfillmentInput!) { fulfillmentCreate(fulfillment: $fulfillment) {"
    f" fulfillment {{ id }} {_USER_ERRORS} }} }}",
    12,
)
SHIPMENTS: Final = Document(
    "query shipments($id: ID!) { order(id: $id) { id displayFulfillmentStatus cancelledAt"
    " fulfillments(first: 50) { id status trackingInfo(first: 10) { number } } } }",
    1 + 50 * (1 + 10),
)
CANCEL: Final = Document(
    "mutation cancel($order: ID!, $reason: OrderCancelReason!, $refund: OrderCancelRefundMethodInput!,"
    " $restock: Boolean!, $notify: Boolean!, $note: String) { orderCancel(orderId: $order, reason: $reason,"
    " refundMethod: $refund, restock: $restock, notifyCustomer: $notify, staffNote: $note) {"
    " job { id done } orderCancelUserErrors { field code message } } }",
    12,
)
CANCELLED: Final = Document(
    "query cancelled($id: ID!) { order(id: $id) { id cancelledAt displayFulfillmentStatus } }",
    1,
)
REFUND_BASIS: Final = Document(
    "query refundBasis($id: ID!, $lines: [RefundLineItemInput!], $shipping: Boolean) { order(id: $id) { id cancelledAt"
    " currencyCode presentmentCurrencyCode displayFinancialStatus refunds(first: 100) { id note }"
    " suggestedRefund(refundLineItems: $lines, refundShipping: $shipping) {"
    " amountSet { shopMoney { amount } presentmentMoney { amount } } suggestedTransactions { gateway"
    " amountSet { shopMoney { amount } presentmentMoney { amount } }"
    " maximumRefundableSet { shopMoney { amount } presentmentMoney { amount } } parentTransaction { id } } } } }",
    1 + 100 + 1 + 3 + 1 + 7,
)
REFUNDABLE: Final = Document(
    "query refundable($id: ID!, $after: String) { order(id: $id) { id displayFulfillmentStatus"
    " lineItems(first: 250, after: $after) { nodes { id refundableQuantity unfulfilledQuantity }"
    " pageInfo { hasNextPage endCursor } } } }",
    1 + 3 + 250,
)
REFUND: Final = Document(
    "mutation refund($input: RefundInput!, $key: String!) { refundCreate(input: $input) @idempotent(key: $key) {"
    f" refund {{ id }} {_USER_ERRORS} }} }}",
    12,
)

# ---------------------------------------------------------------- what comes back

RETURNS: Final = Document(
    "query returns($query: String!, $after: String) { orders(first: 25, after: $after, query: $query,"
    " sortKey: UPDATED_AT) { nodes { id updatedAt returns(first: 30) { nodes { id } pageInfo { hasNextPage } } }"
    " pageInfo { hasNextPage endCursor } } }",
    3 + 25 * (1 + 3 + 30),
)
RETURN: Final = Document(
    "query return($id: ID!, $after: String) { node(id: $id) { ... on Return { __typename id status"
    " returnLineItems(first: 60, after: $after) { nodes { __typename id quantity processedQuantity refundedQuantity"
    " returnReasonNote returnReasonDefinition { name } ... on ReturnLineItem { fulfillmentLineItem { id"
    " lineItem { id sku } } } } pageInfo { hasNextPage endCursor } }"
    " reverseFulfillmentOrders(first: 5) { nodes { lineItems(first: 40) { nodes { fulfillmentLineItem { id }"
    " dispositions { type quantity } } } } } } } }",
    1 + 3 + 60 * 4 + 2 + 5 * (1 + 2 + 40 * 3),
)

PARTS: Final[Sequence[Part]] = (PRODUCT_SET, PUBLISH, PRICES, STATUS, UNPUBLISH, DELETE_VARIANTS)


def all_documents() -> dict[str, str]:
    """Every document by name, those of several sizes at their smallest and at a larger size."""
    found = {name: value.text for name, value in globals().items() if isinstance(value, Document)}
    for locations in (1, 2, 5):
        found[f"variants_page {locations}"] = variants_page(locations).text
        found[f"variants_by_id {locations}"] = variants_by_id(locations).text
    for part in PARTS:
        for count in (1, 2, 50):
            found[f"{part.name} {count}"] = repeated(part, count).text
    return found
