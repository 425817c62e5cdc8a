"""``marketsync channels login``: the consent of a seller, from the page to the ledger, and keys that need none."""

import asyncio
import io
from functools import partial
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import orjson
import pytest
from sqlalchemy import text

from marketsync.adapter.errors import MarketsyncError
from marketsync.adapter.spec import Consent
from marketsync.cli import login
from marketsync.cli.session import session
from marketsync.daemon.house import open_house
from marketsync.daemon.stores import LedgerTokens
from marketsync.ledger.queries.house import tokens
from marketsync.testing.clock import TurnedClock
from marketsync.testing.sandbox import InProcess, in_process
from marketsync.transport.consent import authorize_url, code_in
from marketsync_adapters.amazon.sandbox import Account as AmazonAccount
from marketsync_adapters.amazon.sandbox import build_app as amazon_app
from marketsync_adapters.ebay.sandbox import Market, Rules
from marketsync_adapters.ebay.sandbox import build_app as ebay_app
from marketsync_adapters.sandbox.market import Market as SandboxMarket
from tests.integration.ledger_rows import KEY, NOW
from tests.unit.cli_running import at_a_shell

EBAY = Rules()
AMAZON = AmazonAccount().rules
CONFIG = f"""\
ledger: sqlite:///ledger.db
key: {KEY}
accounts:
  ebay:
    adapter: ebay
    credentials: {{client_id: {EBAY.client_id}, client_secret: {EBAY.client_secret}, ru_name: {EBAY.ru_name}}}
  amazon:
    adapter: amazon
    credentials: {{client_id: {AMAZON.client_id}, client_secret: {AMAZON.client_secret}}}
  idle: {{adapter: sandbox, credentials: {{api_key: sandbox-key}}}}
channels:
  ebay-de:
    account: ebay
    settings:
      marketplace: EBAY_DE
      fulfillment_policy_id: "1001"
      payment_policy_id: "1002"
      return_policy_id: "1003"
      merchant_location_key: berlin
      base_url: https://api.ebay.test
  amazon-de:
    account: amazon
    settings: {{seller_id: A1, marketplace: DE, base_url: https://amazon.test}}
  bazaar: {{adapter: sandbox, credentials: {{api_key: sandbox-key}}, settings: {{base_url: "http://sandbox.test"}}}}
"""


class Desk:
    """A shell, the marketplaces behind it, and a seller with a browser."""

    def __init__(self, cli, monkeypatch):
        self.cli, self._monkeypatch = cli, monkeypatch
        self.ebay, self.amazon = Market(EBAY, session.clock), AmazonAccount(clock=session.clock)
        transports = {
            "ebay": InProcess(ebay_app(self.ebay, in_process=True)),
            "amazon": InProcess(amazon_app(self.amazon, in_process=True)),
            "bazaar": in_process(SandboxMarket(clock=session.clock)),
        }
        monkeypatch.setattr("marketsync.daemon.house.open_house", partial(open_house, transports=transports.get))

    def pastes(self, answer):
        """``answer`` is what is pasted, or what makes it out of the page to open."""
        made = []

        def paste(what, *, hidden=False):
            made.append((what, hidden))
            return answer(self.page) if callable(answer) else answer

        self._monkeypatch.setattr(login, "_pasted", paste)
        self._monkeypatch.setattr(login, "_tell", partial(self._told, tell=login._tell))
        return made

    def _told(self, steps, what, *, tell):
        pages = [word for step in steps for word in step.split() if "state=" in word]
        self.page = pages[0] if pages else ""
        tell(steps, what)

    def agree(self, page):
        """Open the page as a browser does. Returns where it is sent."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(page).query).items()}
        return self.ebay.gate.agree(asked)

    def sql(self, sql):
        with self.cli.ledger() as ledger:
            return [tuple(row) for row in ledger.write_now(lambda conn: conn.execute(text(sql)).all())]

    def set(self, sql):
        with self.cli.ledger() as ledger:
            ledger.write_now(lambda conn: conn.execute(text(sql)))


@pytest.fixture
def desk(tmp_path, monkeypatch, capsys):
    with at_a_shell(tmp_path, monkeypatch, capsys, rows=False) as cli:
        (tmp_path / "marketsync.yaml").write_text(CONFIG)
        monkeypatch.setattr(session, "clock", TurnedClock(NOW, auto=True))
        yield Desk(cli, monkeypatch)


def test_a_consent_is_given_in_the_browser_and_kept_encrypted(desk):
    desk.pastes(desk.agree)
    told = desk.cli.good("channels", "login", "ebay-de")
    page = next(line.strip() for line in told.splitlines() if "oauth2/authorize" in line)
    assert page.startswith(f"https://auth.ebay.test/oauth2/authorize?client_id={EBAY.client_id}&redirect_uri=")
    assert "1. Log in at https://developer.ebay.com" in told
    assert "ebay-de: logged in as eBay seller on EBAY_DE" in told
    refresh = desk.ebay.gate._refresh
    assert refresh not in told
    assert refresh.encode() not in (desk.cli.folder / "ledger.db").read_bytes()
    with desk.cli.ledger() as ledger:
        (row,) = ledger.read_now(tokens)
        assert ("ebay", NOW + EBAY.consent_life) == (row.account, row.refresh_expires)


def test_what_a_login_stored_is_what_the_engine_uses_from_then_on(desk):
    desk.pastes(desk.agree)
    desk.cli.good("channels", "login", "ebay")
    desk.ebay.gate.expire_tokens()
    session.clock.advance(3 * 3600)

    async def checked():
        async with session.house(session.whole_config(), lock=False) as house:
            said = await house.channels["ebay-de"].adapter.check()
            return said, (await LedgerTokens(house.ledger).load("ebay")).refresh

    said, refresh = asyncio.run(checked())
    assert said.startswith("eBay seller on EBAY_DE")
    assert desk.ebay.gate._refresh == refresh


def test_a_channel_that_was_blocked_for_its_consent_goes_on_after_the_login(desk):
    desk.pastes(desk.agree)
    desk.cli.good("channels", "login", "ebay-de")
    desk.set("UPDATE channel SET state = 'blocked', why = 'consent' WHERE name = 'ebay-de'")
    desk.pastes(desk.agree)
    assert "ebay-de was blocked and is observing\n" in desk.cli.good("channels", "login", "ebay-de")
    desk.set("UPDATE channel SET state = 'blocked', adopted_at = 1 WHERE name = 'ebay-de'")
    desk.pastes(desk.agree)
    told = desk.cli.good("channels", "login", "ebay-de")
    assert "ebay-de was blocked and is active\n" in told
    assert [("active", "")] == desk.sql("SELECT state, why FROM channel WHERE name = 'ebay-de'")


def test_the_address_of_another_login_is_refused_and_nothing_is_stored(desk):
    desk.pastes(lambda page: desk.agree(page.replace("state=", "state=other")))
    assert "its state is not the one of the page to open" in desk.cli.bad(1, "channels", "login", "ebay-de")
    assert [] == desk.sql("SELECT account FROM oauth_token")


def test_a_code_works_once(desk):
    addresses = []
    desk.pastes(lambda page: addresses.append(desk.agree(page)) or addresses[-1])
    desk.cli.good("channels", "login", "ebay-de")

    def again(page):
        state = parse_qs(urlsplit(page).query)["state"][0]
        code = parse_qs(urlsplit(addresses[0]).query)["code"][0]
        return f"https://seller.example/accepted?{urlencode({'state': state, 'code': code})}"

    desk.pastes(again)
    assert "does not take this code" in desk.cli.bad(1, "channels", "login", "ebay-de")


def test_a_refresh_token_that_the_marketplace_shows_is_pasted_unseen(desk):
    made = desk.pastes(AMAZON.refresh_token)
    told = desk.cli.good("channels", "login", "amazon-de")
    assert [("The refresh token (it is not shown)", True)] == made
    assert "Authorize app" in told
    assert AMAZON.refresh_token not in told
    assert AMAZON.refresh_token.encode() not in (desk.cli.folder / "ledger.db").read_bytes()


def test_a_wrong_refresh_token_is_told_and_not_kept(desk):
    desk.pastes("Atzr|another")
    said = desk.cli.bad(1, "channels", "login", "amazon-de")
    assert "does not take this refresh token" in said
    assert "another" not in said
    assert [] == desk.sql("SELECT account FROM oauth_token")


def test_keys_need_no_consent_and_are_checked(desk):
    assert "bazaar: logged in as" in desk.cli.good("channels", "login", "bazaar")


def test_json_tells_the_steps_apart_from_the_result(desk):
    desk.pastes(desk.agree)
    code, out, err = desk.cli("channels", "login", "ebay-de", "--json")
    assert 0 == code
    assert "oauth2/authorize" in err
    told = orjson.loads(out)
    assert ("ebay", True) == (told["account"], told["consent"])
    assert [("ebay-de", "observing")] == [(one["channel"], one["state"]) for one in told["channels"]]
    assert told["consent_ends"].startswith("20")


def test_what_cannot_be_logged_in_is_named(desk):
    assert "there is no channel nobody: there are ebay-de, amazon-de, bazaar" in desk.cli.bad(
        1, "channels", "login", "nobody"
    )
    assert "no channel uses the account idle" in desk.cli.bad(1, "channels", "login", "idle")
    assert "NAME" in desk.cli.bad(2, "channels", "login")


def test_a_configuration_with_mistakes_is_told_as_such(desk):
    (desk.cli.folder / "marketsync.yaml").write_text(CONFIG.replace("ru_name", "ru_nam"))
    assert "ru_nam" in desk.cli.bad(2, "channels", "login", "ebay-de")


def test_nothing_pasted_changes_nothing(desk, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert "nothing was pasted" in desk.cli.bad(1, "channels", "login", "ebay-de")


def test_a_script_writes_to_standard_input(desk, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{AMAZON.refresh_token}\n"))
    assert "amazon-de: logged in as" in desk.cli.good("channels", "login", "amazon-de")


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("", "not the address"),
        ("a-code-alone", "not the address"),
        ("https://x/?code=c", "another login"),
        ("https://x/?code=c&state=t", "another login"),
        ("https://x/?state=s", "holds no code"),
        ("https://x/?state=s&error=access_denied", "not given: access_denied"),
        ("https://[", "not the address"),
    ],
)
def test_an_address_without_our_code_says_what_is_wrong(address, says):
    with pytest.raises(MarketsyncError, match=says):
        code_in(address, Consent(url="https://h/"), "s")


def test_the_state_joins_what_the_page_asks_already():
    assert "https://h/a?b=c&state=s%2F1" == authorize_url(Consent(url="https://h/a?b=c"), "s/1")
    assert "https://h/a?state=s" == authorize_url(Consent(url="https://h/a"), "s")


def test_the_page_of_the_rehearsal_sends_the_browser_on(desk):
    """The consent page of the sandbox over its own HTTP: what a person's browser would meet."""

    async def browse():
        async with httpx.AsyncClient(transport=InProcess(ebay_app(desk.ebay, in_process=True))) as browser:
            asked = {"client_id": EBAY.client_id, "redirect_uri": EBAY.ru_name, "response_type": "code", "scope": "s"}
            page = await browser.get("https://auth.ebay.test/oauth2/authorize", params={**asked, "state": "s"})
            wrong = await browser.get("https://auth.ebay.test/oauth2/authorize", params={**asked, "client_id": "x"})
            return page.status_code, page.headers["location"], wrong.status_code

    status, address, wrong = asyncio.run(browse())
    assert (307, 400) == (status, wrong)
    assert code_in(address, Consent(url="https://h/"), "s")
