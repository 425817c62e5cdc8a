"""References to secrets: resolved after parsing, never repeated, and told where they lead nowhere."""

import pytest
from cryptography.fernet import Fernet

from marketsync.config.loader import load
from marketsync.config.secrets import new_key
from tests.unit.config_writing import ADAPTERS, KEY, loaded, told

CHANNEL = "channels: {a: {adapter: shop, credentials: {token: %s}}}"


def token(config):
    return config.accounts["a"].credentials.token.get_secret_value()


def test_the_three_kinds_of_references_are_resolved_in_any_text(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "tail").write_text("three\r\n\n")
    (tmp_path / "run" / "tail").chmod(0o640)
    (tmp_path / "middle").write_text("two\n")
    (tmp_path / "middle").chmod(0o600)
    result = loaded(
        tmp_path,
        CHANNEL % '"${env:HEAD}-${file:middle}-${credential:tail}-four"',
        environment={"HEAD": "one", "CREDENTIALS_DIRECTORY": str(tmp_path / "run")},
    )
    assert "one-two-three-four" == token(result.whole())
    assert () == result.warnings


@pytest.mark.parametrize("value", ["x: y", "- a", "{b: c}", "*anchor", "'", "no", "${env:OTHER}", "a\nkey: b", "#"])
def test_a_secret_is_text_whatever_it_looks_like(tmp_path, value):
    config = loaded(tmp_path, CHANNEL % "'${env:S}'", environment={"S": value, "OTHER": "leaked"}).whole()
    assert value == token(config)


def test_a_reference_serves_fields_that_are_no_text(tmp_path):
    config = loaded(
        tmp_path,
        """
        metrics: 127.0.0.1:${env:PORT}
        channels: {a: {adapter: shop, credentials: {token: x}, settings: {premium: "${env:P}", page_size: "${env:N}"}}}
        """,
        environment={"PORT": "9999", "P": "yes", "N": "7"},
    ).whole()
    assert "127.0.0.1:9999" == str(config.metrics)
    assert (True, 7) == (config.channels["a"].settings.premium, config.channels["a"].settings.page_size)


def test_a_reference_that_leads_nowhere_is_told_with_what_to_do(tmp_path):
    where = "marketsync.yaml:1:52: channels.a.credentials.token: "
    cases = {
        "${env:NOPE}": "the environment has no variable NOPE, set NOPE where marketsync is started",
        "${file:gone}": "the secret in gone cannot be read: No such file or directory,"
        " create it, readable by marketsync alone (mode 0640)",
        "${credential:x}": "there is no credential x, CREDENTIALS_DIRECTORY is not set,"
        " start marketsync by systemd with LoadCredential=x:/path, or write ${file:/path}",
        "${NOPE}": "${NOPE} is no reference to a secret, write ${env:NAME}, ${file:/path} or ${credential:name};"
        " a literal ${ goes into a file",
        "${env:}": "${env:} is no reference to a secret, write ${env:NAME}, ${file:/path} or ${credential:name};"
        " a literal ${ goes into a file",
        "${env:X": "${env:X is no reference to a secret, write ${env:NAME}, ${file:/path} or ${credential:name};"
        " a literal ${ goes into a file",
    }
    for written, expected in cases.items():
        assert [where + expected] == told(tmp_path, CHANNEL % f'"{written}"')


def test_a_credential_that_systemd_did_not_load_is_told(tmp_path):
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    where = "marketsync.yaml:1:52: channels.a.credentials.token: "
    assert [
        where
        + "the secret in x cannot be read: No such file or directory, add LoadCredential=x:/path to the systemd unit"
    ] == told(tmp_path, CHANNEL % '"${credential:x}"', environment=environment)
    assert [
        where + "../x is no name of a credential, name it as LoadCredential= does, without a folder"
    ] == told(tmp_path, CHANNEL % '"${credential:../x}"', environment=environment)  # fmt: skip


def test_a_secret_file_must_be_short_text(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\x00")
    (tmp_path / "long").write_bytes(b"x" * (1024 * 1024 + 1))
    where = "marketsync.yaml:1:52: channels.a.credentials.token: "
    assert [where + "binary holds bytes that are no UTF-8 text, store the secret as UTF-8 text"] == told(
        tmp_path, CHANNEL % '"${file:binary}"'
    )
    assert [where + "long is larger than 1 MiB, that is no secret, name the file that holds only the secret"] == told(
        tmp_path, CHANNEL % '"${file:long}"'
    )


@pytest.mark.parametrize(
    ("mode", "warned"), [(0o600, False), (0o640, False), (0o400, False), (0o644, True), (0o660, True)]
)
def test_a_secret_file_that_others_may_read_or_change_is_a_warning(tmp_path, mode, warned):
    (tmp_path / "s").write_text("geheim")
    (tmp_path / "s").chmod(mode)
    result = loaded(tmp_path, CHANNEL % '"${file:s}"')
    assert "geheim" == token(result.whole())
    expected = (
        f"{tmp_path}/marketsync.yaml:1:52: channels.a.credentials.token: {tmp_path}/s has mode {mode:04o},"
        f" so other users may read or change it, chmod 0640 {tmp_path}/s"
    )
    assert ([expected] if warned else []) == [str(warning) for warning in result.warnings]


SECRET = "swift-horse'battery\"staple"
PLACES = [
    "metrics: ${env:S}",
    "time_zone: ${env:S}",
    "key: ${env:S}",
    "ledger: ${env:S}",
    "retention: {journals: '${env:S}'}",
    "inbound: '${env:S}'",
    "inbound: {bind: '127.0.0.1:1', tokens: {erp: '${env:S}'}, x: '${env:S}'}",
    "rates: {date: '${env:S}', GBP: '${env:S}'}",
    "vat: {DE: {standard: '${env:S}'}}",
    "include: ['${env:S}']",
    "sources: {a: {file: x, owns: '${env:S}', prices: '${env:S}', every: '${env:S}'}}",
    "sources: {a: {http: '${env:S}', owns: price}}",
    "sources: {a: {sql: '${env:S}', owns: price}}",
    "sinks: {a: {webhook: '${env:S}', secret: x}}",
    "accounts: {a: {adapter: '${env:S}'}}",
    "channels: {a: {account: '${env:S}'}}",
    "channels: {a: {adapter: shop, credentials: {token: ['${env:S}'], seller: '${env:S}'}}}",
    "channels: {a: {adapter: shop, credentials: '${env:S}', settings: '${env:S}'}}",
    "channels: {a: {adapter: shop, credentials: {token: x}, price: {from: '${env:S}', currency: '${env:S}'}}}",
    "channels: {a: {adapter: shop, credentials: {token: x}, listing_map: {file: '${env:S}'}}}",
    "channels: {a: {adapter: shop, credentials: {token: x}, schedule: {orders: '${env:S}'}}}",
    "channels: '${env:S}'",
]


@pytest.mark.parametrize("text", PLACES)
def test_no_message_repeats_a_secret(tmp_path, text):
    path = tmp_path / "m.yaml"
    path.write_text(text + "\n")
    result = load(path, adapters=ADAPTERS, environment={"S": SECRET})
    assert result.problems
    shown = "\n".join([repr(result.config), repr(result.problems), *map(str, result.problems)])
    for part in ("swift", "horse", "battery", "staple"):
        assert part not in shown


def test_a_short_secret_in_an_ordinary_value_is_not_repeated(tmp_path):
    assert ["marketsync.yaml:1:23: retention.journals: the value of the reference cannot be used here"] == told(
        tmp_path, "retention: {journals: '${env:S}'}", environment={"S": "q7"}
    )


def test_a_literal_secret_is_not_repeated_either(tmp_path):
    text = """
    inbound: {bind: "127.0.0.1:9465", tokens: {erp: hunter2}}
    channels: {a: {adapter: shop, credentials: {token: [hunter2], seller: hunter2-hunter2-hunter2}}}
    """
    assert [
        "marketsync.yaml:1:49: inbound.tokens.erp: the value is too short, it takes at least 16",
        "marketsync.yaml:2:52: channels.a.credentials.token: the value stands where a text belongs",
        "marketsync.yaml:2:71: channels.a.credentials.seller: the value cannot be used here",
    ] == told(tmp_path, text)


def test_a_usable_configuration_shows_no_secret_in_its_repr(tmp_path):
    text = """
    ledger: postgresql://shop:${env:S}@db/ledger
    inbound: {bind: "127.0.0.1:9465", tokens: {erp: "${env:S}"}}
    sources:
      erp: {sql: {url: "postgresql://${env:S}", query: select 1}, owns: cost}
      web: {http: {url: "https://x", password: "${env:S}", headers: {X-Key: "${env:S}"}}, owns: content}
    channels: {a: {adapter: shop, credentials: {token: "${env:S}"}}}
    sinks: {hook: {webhook: "https://x", secret: "${env:S}"}}
    vat: {}
    """
    result = loaded(tmp_path, text.replace(", owns: cost", ", owns: stock"), environment={"S": "geheim-geheim-geheim"})
    config = result.whole()
    assert "postgresql://shop:geheim-geheim-geheim@db/ledger" == config.ledger.get_secret_value()
    for shown in (repr(result), str(config), config.model_dump_json()):
        assert "geheim" not in shown
        assert KEY not in shown


def test_a_new_key_encrypts():
    box = Fernet(new_key())
    assert b"x" == box.decrypt(box.encrypt(b"x"))
    assert new_key() != new_key()
