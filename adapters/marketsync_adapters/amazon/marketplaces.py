"""Amazon's storefronts: their ids, languages, currencies and the regional endpoint that serves them. Data only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Region = Literal["eu", "na", "fe"]

ENDPOINTS: Mapping[Region, str] = {
    "eu": "https://sellingpartnerapi-eu.amazon.com",
    "na": "https://sellingpartnerapi-na.amazon.com",
    "fe": "https://sellingpartnerapi-fe.amazon.com",
}


@dataclass(frozen=True, slots=True)
class Marketplace:
    """``language`` as listing attributes write it (de_DE)."""

    country: str
    id: str
    language: str
    currency: str
    region: Region


MARKETPLACES: Mapping[str, Marketplace] = {
    place.country: place
    for place in (
        Marketplace("DE", "A1PA6795UKMFR9", "de_DE", "EUR", "eu"),
        Marketplace("FR", "A13V1IB3VIYZZH", "fr_FR", "EUR", "eu"),
        Marketplace("IT", "APJ6JRA9NG5V4", "it_IT", "EUR", "eu"),
        Marketplace("ES", "A1RKKUPIHCS9HS", "es_ES", "EUR", "eu"),
        Marketplace("NL", "A1805IZSGTT6HS", "nl_NL", "EUR", "eu"),
        Marketplace("BE", "AMEN7PMS3EDWL", "fr_BE", "EUR", "eu"),
        Marketplace("IE", "A28R8C7NBKEWEA", "en_IE", "EUR", "eu"),
        Marketplace("GB", "A1F83G8C2ARO7P", "en_GB", "GBP", "eu"),
        Marketplace("SE", "A2NODRKZP88ZB9", "sv_SE", "SEK", "eu"),
        Marketplace("PL", "A1C3SOZRARQ6R3", "pl_PL", "PLN", "eu"),
        Marketplace("TR", "A33AVAJ2PDY3EV", "tr_TR", "TRY", "eu"),
        Marketplace("AE", "A2VIGQ35RCS4UG", "en_AE", "AED", "eu"),
        Marketplace("SA", "A17E79C6D8DWNP", "ar_AE", "SAR", "eu"),
        Marketplace("EG", "ARBP9OOSHTCHU", "ar_AE", "EGP", "eu"),
        Marketplace("IN", "A21TJRUUN4KGV", "en_IN", "INR", "eu"),
        Marketplace("ZA", "AE08WJ6YKNBMC", "en_ZA", "ZAR", "eu"),
        Marketplace("US", "ATVPDKIKX0DER", "en_US", "USD", "na"),
        Marketplace("CA", "A2EUQ1WTGCTBG2", "en_CA", "CAD", "na"),
        Marketplace("MX", "A1AM78C64UM0Y8", "es_MX", "MXN", "na"),
        Marketplace("BR", "A2Q3Y263D00KWC", "pt_BR", "BRL", "na"),
        Marketplace("JP", "A1VC38T7YXB528", "ja_JP", "JPY", "fe"),
        Marketplace("AU", "A39IBJ37TRP1C6", "en_AU", "AUD", "fe"),
        Marketplace("SG", "A19VAU5U5O7RUS", "en_SG", "SGD", "fe"),
    )
}
