"""The schema for editors, the first configuration, the example; and no edit of it raises anything but problems."""

import json
import re
import stat
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from marketsync.adapter.errors import ConfigError
from marketsync.config.begin import begin, init_text
from marketsync.config.loader import load
from marketsync.config.schema import json_schema, schema_text
from marketsync.daemon.adapters import Installed
from marketsync_adapters.sandbox import SandboxAdapter
from tests.unit.config_writing import ADAPTERS, KEY

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "config" / "example.yaml"
SPECS = {"sandbox": SandboxAdapter.spec}
ENVIRONMENT = {
    "MARKETSYNC_KEY": KEY,
    "ERP_TOKEN": "0123456789abcdef",
    "SUPPLIER_PASSWORD": "s",
    "ERP_URL": "postgresql://erp",
    "SANDBOX_KEY": "sandbox-key",
    "SANDBOX_FR_SECRET": "s",
    "ERP_SECRET": "s",
}


class EditorLoader(yaml.SafeLoader):
    """YAML 1.2, as the language server of editors reads it: no dates, no yes and no, no base 60."""


EditorLoader.yaml_implicit_resolvers = {}
for tag, pattern, first in [
    ("null", r"^(?:~|null|)$", ["~", "n", ""]),
    ("bool", r"^(?:true|false)$", list("tf")),
    ("int", r"^[-+]?[0-9]+$", list("-+0123456789")),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)$", list("-+.0123456789")),
]:
    EditorLoader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), first)
EditorLoader.yaml_constructors = {
    **yaml.SafeLoader.yaml_constructors,
    "tag:yaml.org,2002:int": lambda loader, node: int(loader.construct_scalar(node)),
}


def as_editors_see(text: str, specs) -> list[str]:
    """What an editor would underline."""
    validator = jsonschema.Draft202012Validator(json_schema(specs))
    data = yaml.load(text, Loader=EditorLoader)
    return [error.json_path for error in validator.iter_errors(data)]


def test_the_committed_schema_is_the_one_that_models_and_adapters_make():
    assert schema_text(Installed()) == (ROOT / "config" / "marketsync.schema.json").read_text("utf-8"), (
        "run: .venv/bin/marketsync schema > config/marketsync.schema.json"
    )


def test_the_schema_is_one_and_knows_every_adapters_own_keys():
    schema = json_schema(ADAPTERS)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert {"shop_settings", "shop_credentials", "twin_settings", "twin_credentials"} <= schema["$defs"].keys()
    assert json.loads(schema_text(ADAPTERS)) == schema


@pytest.mark.parametrize("text", [init_text(), EXAMPLE.read_text("utf-8")], ids=["init", "example"])
def test_editors_underline_nothing_in_what_we_ship(text):
    assert [] == as_editors_see(text, SPECS)


CHANNEL = "adapter: shop, credentials: {token: x}"


@pytest.mark.parametrize(
    "text",
    [
        "metrics: ${env:METRICS}",
        f'channels: {{a: {{{CHANNEL}, settings: {{premium: "${{env:P}}", page_size: "${{file:n}}"}}}}}}',
        f"channels: {{a: {{{CHANNEL}, settings: {{premium: yes, page_size: 7, storefront: 12}}}}}}",
        f"channels: {{a: {{{CHANNEL}, price: {{ending: .99, markup: 12, gross: no}}, stock: {{percentage: 80}}}}}}",
        f"channels: {{a: {{{CHANNEL}, listing_map: {{K: {{A: 2}}, O: A, 7: 8}}, orders: {{restock_on: [return]}}}}}}",
        f"channels: {{a: {{{CHANNEL}, listing_map: {{file: kits.csv}}, schedule: {{reconcile: 03:15}}}}}}",
        "sources: {a: {http: 'https://x', owns: stock, every: 30m, on_hand: source, falls_at: order}}",
        "rates: {date: 2026-11-20, base: EUR, GBP: 0.86}\nvat: {DE: {standard: 19}}",
        "inbound: 127.0.0.1:9465\ninclude: a.yaml",
    ],
)
def test_what_the_loader_takes_editors_take_too(text):
    assert [] == as_editors_see(text + f"\nkey: {KEY}", ADAPTERS)


@pytest.mark.parametrize(
    ("text", "underlined"),
    [
        ("kee: 1", ["$"]),
        (f"channels: {{a: {{{CHANNEL}, settings: {{premum: yes}}}}}}", ["$.channels.a.settings"]),
        (f"channels: {{a: {{{CHANNEL}, stock: {{buffer: many}}}}}}", ["$.channels.a.stock.buffer"]),
        ("sources: {a: {file: x, owns: [stok]}}", ["$.sources.a.owns"]),
        ("retention: {journals: 30}", ["$.retention.journals"]),
    ],
)
def test_what_the_loader_refuses_editors_underline(text, underlined):
    assert set(underlined) <= set(as_editors_see(text + f"\nkey: {KEY}", ADAPTERS))


def test_the_first_configuration_passes_the_check(tmp_path):
    written = begin(tmp_path / "new", SPECS)
    assert ["marketsync.yaml", "marketsync.key", "marketsync.schema.json"] == [path.name for path in written]
    assert 0o600 == stat.S_IMODE(written[1].stat().st_mode)
    result = load(written[0], adapters=SPECS, environment={})
    assert ((), ()) == (result.problems, result.warnings)
    assert ["sandbox"] == list(result.whole().channels)
    assert "# yaml-language-server: $schema=./marketsync.schema.json" == init_text().splitlines()[0]


def test_beginning_twice_overwrites_nothing(tmp_path):
    _, key, _ = begin(tmp_path, SPECS)
    before = key.read_text()
    with pytest.raises(FileExistsError):
        begin(tmp_path, SPECS)
    (tmp_path / "marketsync.yaml").unlink()
    with pytest.raises(FileExistsError):
        begin(tmp_path, SPECS)
    assert before == key.read_text()


def test_the_example_passes_the_check():
    result = load(EXAMPLE, adapters=SPECS, environment=ENVIRONMENT)
    assert ((), ()) == (result.problems, result.warnings)
    assert ["sandbox-de", "sandbox-fr"] == list(result.whole().channels)


LINES = EXAMPLE.read_text("utf-8").splitlines()
PIECES = st.sampled_from([
    "", " ", "\t", "- ", "[", "]", "{", "}", ":", ": ", "*x", "&x ", "<<: *x", "!!set ", "'", '"', "${", "${env:X}", "~",
    "null", "no", "1e999", "-1", "NaN", "\x00", "\u2028", "\U0001f600", "9" * 400, "0x", "x" * 300, "include: ../*",
    "include: [/dev/null, '', '**']", "channels: {}", "%", "|", ">", "? ",
])  # fmt: skip
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["insert", "replace", "remove", "move", "line", "cut"]),
        st.integers(0, len(LINES) - 1),
        st.integers(0, 120),
        st.one_of(PIECES, st.text(max_size=8), st.sampled_from(LINES)),
    ),
    min_size=1,
    max_size=6,
)


def edited(edits) -> str:
    lines = list(LINES)
    for kind, number, wanted, piece in edits:
        line = lines[number]
        column = min(wanted, len(line))
        if kind == "insert":
            lines[number] = line[:column] + piece + line[column:]
        elif kind == "replace":
            key, colon, _ = line.partition(": ")
            lines[number] = key + colon + piece
        elif kind == "remove":
            lines[number] = ""
        elif kind == "move":
            lines[number] = " " * (column % 9) + line.strip()
        elif kind == "line":
            lines.insert(number, piece)
        else:
            lines[number] = line[:column]
    return "\n".join(lines)


@settings(max_examples=300)
@given(EDITS)
def test_whatever_a_person_makes_of_the_example_only_problems_come_out(tmp_path_factory, edits):
    path = tmp_path_factory.getbasetemp() / "edited.yaml"
    path.write_text(edited(edits), "utf-8", errors="surrogatepass")
    result = load(path, adapters=SPECS, environment=ENVIRONMENT)
    for problem in (*result.problems, *result.warnings):
        assert problem.message
        assert problem.line >= 0
    if result.problems:
        with pytest.raises(ConfigError):
            result.whole()
    else:
        assert result.whole() == load(path, adapters=SPECS, environment=ENVIRONMENT).whole()
