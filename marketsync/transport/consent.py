"""The address where a seller gives the consent, and the one that the seller is sent to afterwards."""

import hmac
from urllib.parse import parse_qsl, quote, urlsplit

from marketsync.adapter.errors import MarketsyncError
from marketsync.adapter.spec import Consent


def authorize_url(consent: Consent, state: str) -> str:
    """The page to open. ``state`` comes back with the code: it proves that the consent is the one asked for."""
    joint = "&" if urlsplit(consent.url).query else "?"
    return f"{consent.url}{joint}state={quote(state, safe='')}"


def code_in(address: str, consent: Consent, state: str) -> str:
    """The code in the address that the seller was sent to. Raises MarketsyncError where it holds none of ours."""
    try:
        told = dict(parse_qsl(urlsplit(address.strip()).query))
    except ValueError:
        told = {}
    if not told:
        message = f"that is not the address that you were sent to: it holds {consent.code}=... behind a question mark"
        raise MarketsyncError(message)
    if not hmac.compare_digest(told.get("state", "").encode(), state.encode()):
        raise MarketsyncError("that address belongs to another login: its state is not the one of the page to open")
    if told.get("error"):
        why = told.get("error_description") or told["error"]
        raise MarketsyncError(f"the consent was not given: {why}")
    if not told.get(consent.code):
        raise MarketsyncError(f"that address holds no {consent.code}: agree on the page, then copy the whole address")
    return told[consent.code]
