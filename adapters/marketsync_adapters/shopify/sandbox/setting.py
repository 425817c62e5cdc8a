"""productSet: the whole product as it is sent. Variants that are left out are deleted."""

from typing import Any

from marketsync_adapters.shopify.sandbox import views
from marketsync_adapters.shopify.sandbox.shop import DEFAULT, Later, Product, Shop, Variant


def product_set(shop: Shop, arguments: Any) -> Any:
    if arguments.get("synchronous", True):
        return write(shop, arguments)
    later = Later(
        f"gid://shopify/ProductSetOperation/{next(shop.numbers)}",
        shop.clock.now() + shop.rules.operation_time,
        arguments,
    )
    shop.operations[later.id] = later
    return {"productSetOperation": {"id": later.id, "status": "CREATED"}, "userErrors": []}


def settle(shop: Shop) -> None:
    """Write the products whose time has come."""
    for later in shop.operations.values():
        if later.payload is None and later.done_at <= shop.clock.now():
            later.payload = write(shop, later.arguments)


def write(shop: Shop, arguments: Any) -> dict[str, Any]:
    given, identifier = arguments["input"], arguments.get("identifier") or {}
    product = shop.products.get(identifier.get("id", "")) or shop.by_handle(identifier.get("handle", ""))
    if product is None and "id" in identifier:
        return _refused(["identifier", "id"], "Product does not exist", "PRODUCT_DOES_NOT_EXIST")
    errors = _errors(shop, given, product)
    if errors:
        return {"product": None, "userErrors": errors}
    if product is None:
        number = next(shop.numbers)
        product = Product(number, given.get("handle") or f"product-{number}")
        shop.products[product.id] = product
    _write_product(product, given)
    kept = [_write_variant(shop, product, one) for one in given["variants"]]
    for variant in [one for one in product.variants if one not in kept]:
        shop.drop_variant(variant)
    product.variants = kept
    return {"product": views.product(shop, product), "userErrors": []}


def _write_product(product: Product, given: dict[str, Any]) -> None:
    product.title = given["title"].strip()
    product.description = given.get("descriptionHtml", product.description)
    product.vendor = given.get("vendor") or product.vendor or "Demo Shop"
    product.product_type = given.get("productType", product.product_type)
    product.status = given.get("status", product.status)
    if "files" in given:
        product.files = given["files"]
        product.files_written += 1


def _write_variant(shop: Shop, product: Product, given: dict[str, Any]) -> Variant:
    variant = (
        shop.variants[given["id"]] if given.get("id") else _same_options(product, given) or shop.add_variant(product)
    )
    variant.sku = given.get("sku", variant.sku)
    variant.options = {one["optionName"]: one["name"] for one in given["optionValues"]} or dict(DEFAULT)
    variant.barcode = given.get("barcode", variant.barcode)
    if "price" in given:
        variant.price, variant.compare_at = given["price"], given.get("compareAtPrice")
    variant.tracked = (given.get("inventoryItem") or {}).get("tracked", variant.tracked)
    for level in given.get("inventoryQuantities") or ():
        shop.set_level(variant, level["locationId"], level["quantity"], "write")
    return variant


def _same_options(product: Product, given: dict[str, Any]) -> Variant | None:
    options = {one["optionName"]: one["name"] for one in given["optionValues"]}
    return next((one for one in product.variants if one.options == options), None)


def _errors(shop: Shop, given: dict[str, Any], product: Product | None) -> list[dict[str, Any]]:
    title = (given.get("title") or "").strip()
    if not title:
        return [_error(["input", "title"], "Title can't be blank", "INVALID_PRODUCT")]
    if len(title) > shop.rules.title_length:
        return [_error(["input", "title"], "Title is too long (maximum is 255 characters)", "INVALID_PRODUCT")]
    if len(given["variants"]) > shop.rules.most_variants:
        return [_error(["input", "variants"], "The number of variants exceeds the limit", "VARIANTS_OVER_LIMIT")]
    errors, seen = [], set()
    for index, one in enumerate(given["variants"]):
        path = ["input", "variants", str(index)]
        if one.get("id") and (one["id"] not in shop.variants or shop.variants[one["id"]].product is not product):
            errors.append(_error([*path, "id"], "Variant does not exist", "PRODUCT_VARIANT_DOES_NOT_EXIST"))
        if len(one.get("sku") or "") > 255:
            errors.append(_error([*path, "sku"], "SKU is too long (maximum is 255 characters)", "INVALID_VARIANT"))
        if len(one.get("barcode") or "") > 255:
            errors.append(_error([*path, "barcode"], "Barcode is too long", "INVALID_VARIANT"))
        key = tuple(sorted((option["optionName"], option["name"]) for option in one["optionValues"]))
        if key in seen:
            message = f"The variant '{' / '.join(value for _, value in key)}' already exists."
            errors.append(_error(path, message, "VARIANT_ALREADY_EXISTS"))
        seen.add(key)
    return errors


def _error(path: list[str], message: str, code: str) -> dict[str, Any]:
    return {"field": path, "message": message, "code": code}


def _refused(path: list[str], message: str, code: str) -> dict[str, Any]:
    return {"product": None, "userErrors": [_error(path, message, code)]}
