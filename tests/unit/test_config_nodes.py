"""Reading YAML: what was written stays, files join, and no file can hurt."""

from pathlib import Path

import pytest

from marketsync.config.nodes import MOST_NODES, Position, Tree, read
from marketsync.config.secrets import Secrets
from tests.unit.config_writing import loaded, told


def tree_of(folder: Path, text: str | bytes) -> Tree:
    path = folder / "x.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path, "x.yaml", Secrets({}))


def problems(tree: Tree) -> list[str]:
    return [str(problem) for problem in tree.problems]


@pytest.mark.parametrize(
    "written",
    ["no", "on", "Off", "y", "012", "0x1F", "12:30", "190:20:30", "1e3", ".5", "+1_000", "2026-11-20", "2001-12-14t21:59", "=", ".inf", "1.10"],
)  # fmt: skip
def test_a_plain_scalar_stays_what_the_user_wrote(tmp_path, written):
    assert {"a": written, "b": [written]} == tree_of(tmp_path, f"a: {written}\nb: [{written}]").data


@pytest.mark.parametrize("written", ["no", "012", "12:30", "null", "~"])
def test_a_key_stays_what_the_user_wrote(tmp_path, written):
    assert {written: "x"} == tree_of(tmp_path, f"{written}: x").data


def test_nothing_is_written_as_nothing_null_or_a_tilde_and_quotes_make_it_text(tmp_path):
    assert {"a": None, "b": None, "c": None, "d": "null", "e": ""} == tree_of(
        tmp_path, "a:\nb: null\nc: ~\nd: 'null'\ne: ''"
    ).data


def test_the_traps_of_yaml_1_1_reach_typed_fields_as_meant(tmp_path):
    config = loaded(
        tmp_path,
        """
        channels:
          no:
            adapter: shop
            credentials: {token: 0123}
            settings: {premium: no, storefront: on}
            price: {markup: 1.50, ending: .90, gross: yes}
            stock: {locations: [12:30, 010]}
            listing_map: {012: 1e3, on: {no: 02}}
            schedule: {reconcile: 03:15}
        """,
    ).whole()
    channel = config.channels["no"]
    assert (False, "on") == (channel.settings.premium, channel.settings.storefront)
    assert "0123" == config.accounts["no"].credentials.token.get_secret_value()
    assert (".90",) == channel.price.ending
    assert ("12:30", "010") == channel.stock.locations
    assert {"012": {"1e3": 1}, "on": {"no": 2}} == channel.listing_map
    assert "03:15" == str(channel.schedule.reconcile)


def test_every_value_and_key_knows_its_place(tmp_path):
    tree = tree_of(tmp_path, "a:\n  - b: c\n  - d\n")
    assert Position("x.yaml", 2, 8) == tree.values["a", 0, "b"]
    assert Position("x.yaml", 2, 5) == tree.keys["a", 0, "b"]
    assert Position("x.yaml", 3, 5) == tree.values["a", 1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3", "x.yaml:3:1: a: it stands here twice, first in line 1"),
        ("a: {x: 1, x: 2}", "x.yaml:1:11: a.x: it stands here twice, first in line 1"),
        ("a: b: c", "x.yaml:1:5: a colon stands where no key can be, check the indentation, and quote a text that contains ': '"),
        ("a:\n\t- b", "x.yaml:2:1: a tab stands where spaces belong, indent with spaces"),
        ("a: [1, 2\nb: 3", "x.yaml:2:2: this is not valid YAML: expected ',' or ']', but got ':', look at what begins in line 1"),
        ("a: {b: ${env:X}}", 'x.yaml:1:9: a brace stands where a comma belongs, inside of braces and brackets a reference needs quotes: "${env:NAME}"'),
        ("a: *x", "x.yaml:1:4: there is no anchor for the alias 'x'"),
        ("a: 1\n---\nb: 2", "x.yaml:2:1: a second document starts here, keep one document in a file, and use include: for more files"),
        ("- a\n- b", "x.yaml:1:1: the configuration is a mapping, write key: value lines"),
        ("a: !secret x", "x.yaml:1:4: a: the tag !secret is not known here, leave it out"),
        ("a: !!python/object/apply:os.system [id]", "x.yaml:1:4: a: the tag tag:yaml.org,2002:python/object/apply:os.system is not known here, leave it out"),
        ("? [a, b]\n: c", "x.yaml:1:3: a key is plain text, write key: value"),
        ("a: {<<: 3}", "x.yaml:1:5: a: << takes a mapping, write <<: *anchor"),
        ("a: 'b\x07'", "x.yaml:1:6: the character #x0007 is not allowed in YAML"),
        (b"a: \xff\xfe", "x.yaml:1:1: the file is no UTF-8 text, save it as UTF-8"),
    ],
)  # fmt: skip
def test_what_is_no_usable_yaml_is_told_at_its_place(tmp_path, text, expected):
    assert [expected] == problems(tree_of(tmp_path, text))


def test_a_byte_order_mark_and_an_empty_file_are_fine(tmp_path):
    assert {"a": "ä"} == tree_of(tmp_path, b"\xef\xbb\xbfa: \xc3\xa4").data
    empty = tree_of(tmp_path, "# nothing yet\n")
    assert ({}, []) == (empty.data, empty.problems)


def test_an_anchor_brings_its_mapping_and_own_keys_win(tmp_path):
    tree = tree_of(tmp_path, "a: &base {x: 1, y: 2}\nb: {<<: *base, y: 3}\nc: {<<: [{y: 7}, *base], z: 4}\nd: *base")
    assert {
        "a": {"x": "1", "y": "2"},
        "b": {"x": "1", "y": "3"},
        "c": {"x": "1", "y": "7", "z": "4"},
        "d": {"x": "1", "y": "2"},
    } == tree.data
    assert Position("x.yaml", 1, 14) == tree.values["b", "x"]


BOMBS = {
    "billion laughs": "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)),
    "billion merges": "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 12)),
    "itself": "a: &a [*a]",
    "merges itself": "a: &a {<<: *a}",
    "deep aliases": "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 200)),
    "wide merges": "a: &a {" + ", ".join(f"k{i}: 1" for i in range(1000)) + "}\nb: {<<: [" + ", ".join(["*a"] * 200) + "]}",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_file_that_grows_out_of_itself_is_refused(tmp_path, name):
    tree = tree_of(tmp_path, BOMBS[name])
    assert [
        f"x.yaml:1:1: more than {MOST_NODES} values come out of it, or they are nested deeper than 50, look at its aliases"
    ] == problems(tree)
    assert {} == tree.data


@pytest.mark.parametrize("text", ["a: " + "[" * 100_000, "a: " + "{a: " * 2000, "- " * 5000, "a: &a " + "[" * 60])
def test_nesting_that_would_exhaust_the_stack_is_refused(tmp_path, text):
    (problem,) = tree_of(tmp_path, text).problems
    assert "this is not valid YAML: it is nested too deeply" == problem.message


def test_a_large_file_is_refused_before_it_is_parsed(tmp_path):
    path = tmp_path / "x.yaml"
    with path.open("wb") as file:
        file.truncate(17 * 1024 * 1024)
    tree = read(path, "x.yaml", Secrets({}))
    assert ["x.yaml:1:1: the file is larger than 16 MiB, large tables belong in CSV files"] == problems(tree)


def test_a_file_that_is_not_there_is_told_without_a_line(tmp_path):
    tree = read(tmp_path / "gone.yaml", "gone.yaml", Secrets({}))
    assert ["gone.yaml: the file cannot be read: No such file or directory"] == problems(tree)


CHANNEL = "{adapter: shop, credentials: {token: x}}"


def test_included_files_join_in_the_order_of_their_names_and_only_once(tmp_path):
    (tmp_path / "channels").mkdir()
    for name in ("b", "a"):
        (tmp_path / "channels" / f"{name}.yaml").write_text(f"channels: {{{name}: {CHANNEL}}}\n")
    result = loaded(
        tmp_path,
        f"""
        include: [main.yaml, "channels/*.yaml", channels/a.yaml, "*.yaml", "nothing/*.yaml"]
        channels: {{c: {CHANNEL}}}
        """,
        main_yaml="time_zone: Europe/Paris\n",
    )
    assert ["c", "a", "b"] == list(result.whole().channels)
    assert "Europe/Paris" == str(result.whole().time_zone)
    assert ["marketsync.yaml", "main.yaml", "a.yaml", "b.yaml"] == [file.name for file in result.files]


def test_a_name_that_two_files_define_is_told_with_both_places(tmp_path):
    assert [
        "a.yaml:1:1: time_zone: it is defined twice, first in marketsync.yaml:2, keep one",
        "a.yaml:2:17: channels.x: it is defined twice, first in marketsync.yaml:3, keep one",
    ] == told(
        tmp_path,
        f"include: a.yaml\ntime_zone: UTC\nchannels: {{x: {CHANNEL}}}",
        a_yaml=f"time_zone: UTC\nchannels:     {{ x: {CHANNEL}, y: {CHANNEL}}}\n",
    )


def test_a_missing_include_and_an_include_of_an_include_are_told(tmp_path):
    assert [
        "a.yaml:1:10: include: only the main file includes others,"
        f" name the file in {tmp_path}/marketsync.yaml".replace(f"{tmp_path}/", ""),
        "marketsync.yaml:1:11: include[0]: there is no file gone.yaml, correct the name, or leave it out",
    ] == told(tmp_path, "include: [gone.yaml, a.yaml]", a_yaml="include: b.yaml\n")


def test_the_bound_of_values_counts_over_all_files(tmp_path):
    many = "channels: {x: {listing_map: {" + ", ".join(f"k{i}: v" for i in range(60_000)) + "}}}\n"
    (problem,) = told(tmp_path, "include: [a.yaml, b.yaml]", a_yaml=many, b_yaml=many.replace("x:", "y:"))
    assert problem.startswith(f"b.yaml:1:1: more than {MOST_NODES} values come out of it")
