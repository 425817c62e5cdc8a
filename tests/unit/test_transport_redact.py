"""Evidence shows what a channel said, and neither secrets nor buyers."""

import time

import pytest
from pydantic import BaseModel, SecretStr

from marketsync.telemetry.redaction import Redactor
from marketsync.transport.redact import redact, secrets_of


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer LEAK.LEAK",
        "authorization=Basic LEAK==",
        "sent 'Bearer LEAKLEAK' to us",
        '{"access_token": "LEAK"}',
        '{"refreshToken":"LEAK LEAK"}',
        r"{\"client_secret\": \"LEAK\"}",
        "grant_type=x&client_secret=LEAK&scope=y",
        "https://h/x?X-Amz-Signature=LEAK&y=1",
        "Shop-Signature: LEAK",
        '{"password": "LEAK"}',
        "api_key: LEAK",
        "x-api-key=LEAK",
        "Set-Cookie: LEAK",
        "please write to LEAK@example.com today",
        "email=LEAK%40example.com",
        "call +49 151 23456789",
        "call 0151/2345 6789",
        "call 015123456789 now",
        '{"phone": "LEAK"}',
        '{"buyerName": "LEAK", "first_name": "LEAK"}',
        '{"street1": "LEAK 7"}',
        "<Phone>LEAK</Phone>",
        "postgresql://shop:LEAK@db.example/x",
        "<access-token>LEAK</access-token>",
    ],
)
def test_secrets_and_buyers_are_cut(text):
    shown = redact(text)
    assert "[redacted]" in shown
    assert "LEAK" not in shown
    assert "6789" not in shown


@pytest.mark.parametrize(
    "text",
    [
        '{"errors": [{"code": "InvalidInput", "message": "The GTIN 4006381333931 is unknown"}]}',
        "order 028-1234567-1234567, GTIN 0885909950805, price 1299.00 EUR",
        '{"error": "invalid_grant", "error_description": "refresh expired"}',
        '{"tokens": {"left": 5}, "sku": "ABC-0151"}',
        "2026-03-01T12:00:00.000Z",
        "the token is expired",
    ],
)
def test_what_explains_an_error_stays(text):
    assert text == redact(text)


def test_the_secrets_of_the_account_are_cut_wherever_they_stand():
    assert "you sent [redacted], a [redacted]" == redact("you sent abcd-1234, a abcd", ["abcd", "abcd-1234", "you"])


def test_a_secret_of_the_account_is_cut_also_as_a_url_writes_it():
    assert "q=[redacted]" == redact("q=ab%2Fcd%2B1", ["ab/cd+1"])


def test_the_log_hides_what_evidence_hides():
    """One room knows what a secret and a buyer look like."""
    for text in (
        '{"refreshToken":"LEAK LEAK"}',
        '{"buyerName": "LEAK LEAK"}',
        "<Phone>LEAK</Phone>",
        "email=LEAK%40example.com",
    ):
        assert "LEAK" not in Redactor().text(text)


def test_at_most_two_thousand_characters_are_kept():
    shown = redact(b"x " * 10**6)
    assert 2000 == len(shown)
    assert shown.endswith("…")


def test_bytes_that_are_no_text_are_shown_all_the_same():
    assert "caf� au lait" == redact(b"caf\xe9 au lait")


@pytest.mark.parametrize("piece", ["a", "a.", "a-", "a@", "0", "0 ", "+1 ", "token", "token:", '"', "x=", "<a>"])
def test_no_text_makes_it_slow(piece):
    began = time.perf_counter()
    redact(piece * 20_000)
    assert time.perf_counter() - began < 1


def test_every_secret_of_a_credentials_model_is_found():
    class Inner(BaseModel):
        key: SecretStr

    class Outer(BaseModel):
        user: str = "u"
        password: SecretStr
        shops: dict[str, Inner]

    model = Outer(password="p", shops={"de": {"key": "k"}})
    assert ["p", "k"] == secrets_of(model)
