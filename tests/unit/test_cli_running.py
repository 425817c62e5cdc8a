"""The command line around its commands: options, configuration, exit codes, errors, terminals, a whole round by hand."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest
from sqlalchemy import text

from marketsync.adapter import errors
from marketsync.cli import app as command_tree
from marketsync.cli.adapters import sandbox_app
from marketsync.cli.main import globals_first
from marketsync.cli.session import session
from marketsync.ledger.lock import DaemonLock
from marketsync.testing.sandbox import running
from marketsync_adapters.sandbox.market import Market
from tests.integration.ledger_rows import KEY
from tests.unit.cli_running import Cli, at_a_shell

MARKETSYNC = [sys.executable, "-c", "from marketsync.cli import main; main()"]


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    with at_a_shell(tmp_path, monkeypatch, capsys, rows=True) as cli:
        yield cli


@pytest.fixture
def bare(tmp_path, monkeypatch, capsys):
    """A folder with nothing in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MARKETSYNC_CONFIG", raising=False)
    return Cli(tmp_path, capsys)


# ------------------------------------------------------------------ options


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("status --json", "--json status"),
        ("offers --sku A --config x.yaml --due -v", "--config x.yaml -v offers --sku A --due"),
        ("status --config=x.yaml", "--config=x.yaml status"),
        ("order -- --json", "order -- --json"),
        ("status --json --config", "--json --config"),
        ("", ""),
    ],
)
def test_the_options_of_every_command_may_stand_anywhere(written, expected):
    assert expected.split() == globals_first(written.split())


def test_without_a_command_the_help_is_shown(bare):
    out = bare.good()
    assert out.startswith("Usage: marketsync")
    assert out == bare.good("--help")


def test_every_command_explains_itself_in_a_sentence(bare):
    listed = re.findall(r"^  ([a-z]+) {2,}(\S.*)$", bare.good("--help").split("Commands:")[1], re.MULTILINE)
    assert {"init", "check", "schema", "migrate", "run", "sync", "status", "offers", "orders", "order", "issues", "runs",
            "adopt", "pause", "resume", "resync", "ship", "cancel", "return", "refund", "recount", "ledger", "purge",
            "adapters", "sandbox", "demo", "channels", "commands", "decide", "plan", "apply",
            "holds", "approve", "reject", "undo", "pinned", "release", "explain", "prices", "parked", "retry"} == {name for name, _ in listed}  # fmt: skip
    for name, _ in listed:
        assert f"Usage: marketsync {name}" in bare.good(name, "--help")


def test_the_version_is_told(bare):
    assert re.fullmatch(r"marketsync \d+\.\d+\.\d+\n", bare.good("--version"))


@pytest.mark.parametrize(("arguments", "told"), [
    (["nonsense"], "No such command 'nonsense'"), (["status", "--nonsense"], "No such option: --nonsense"),
    (["order"], "Missing argument 'ORDER'"), (["order", "a", "b"], "unexpected extra argument"),
    (["status", "--config"], "requires an argument"), (["ledger", "nonsense"], "No such command 'nonsense'"),
])  # fmt: skip
def test_wrong_usage_ends_with_2_and_names_the_help(bare, arguments, told):
    err = bare.bad(2, *arguments)
    assert told in err
    assert "--help'" in err


def test_help_and_version_start_at_once_and_load_nothing_heavy():
    code = (
        "import sys; from marketsync.cli.main import run; run(['--help']); run(['--version']);"
        "print(sorted({n.partition('.')[0] for n in sys.modules} & {'sqlalchemy', 'httpx', 'rich', 'pydantic',"
        " 'alembic', 'structlog', 'starlette', 'apscheduler', 'cryptography'}))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == ended.stdout.splitlines()[-1]


# ------------------------------------------------------------------ the configuration


def test_without_a_configuration_it_says_how_to_get_one(bare):
    for command in ("status", "check", "migrate", "sync", "run"):
        err = bare.bad(2, command)
        assert "there is no configuration here" in err
        assert "write one by `marketsync init`" in err


def test_the_configuration_is_named_by_option_environment_or_place(cli, monkeypatch, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text(f"key: {KEY}\nledger: sqlite:///none.db\n")
    assert f"{other} is right: 0 channels" in cli.good("check", "--config", str(other))
    monkeypatch.setenv("MARKETSYNC_CONFIG", str(other))
    assert f"{other} is right: 0 channels" in cli.good("check")
    assert "3 channels" in cli.good("check", "-c", "marketsync.yaml")


def test_every_problem_is_told_at_its_place_and_counted(bare):
    (bare.folder / "marketsync.yaml").write_text(
        f"key: {KEY}\nledgr: x\nsources:\n  pim: {{file: a.csv, every: soon}}\n"
    )
    code, out, err = bare("check")
    assert (2, "") == (code, err)
    lines = out.splitlines()
    assert lines[0].startswith("marketsync.yaml:2:1: ledgr: there is no such key, did you mean ledger?")
    assert lines[1].startswith("marketsync.yaml:4:")
    assert "3 problems" == lines[-1]
    err = bare.bad(2, "sync")
    assert lines[:3] == err.splitlines()[:3]
    assert "marketsync: the configuration has 3 problems" == err.splitlines()[-1]
    code, out, _ = bare("check", "--json")
    found = orjson.loads(out)
    assert (2, ["file", "problems", "warnings", "files"]) == (code, list(found))
    assert ["file", "line", "column", "path", "message", "hint"] == list(found["problems"][0])


def test_a_configuration_that_cannot_be_read_is_told_in_a_line(bare):
    assert "none.yaml" in bare.bad(2, "status", "--config", "none.yaml")
    (bare.folder / "marketsync.yaml").mkdir()
    assert "marketsync.yaml" in bare.bad(2, "status")


def test_looking_works_while_a_channel_is_written_wrongly(cli):
    path = cli.folder / "marketsync.yaml"
    path.write_text(path.read_text().replace("storefront: fr", "storefrnt: fr"))
    assert "rialto-de" in cli.good("offers")
    assert "storefrnt" in cli.bad(2, "sync")


def test_a_ledger_that_is_not_there_or_too_new_is_told_with_what_to_do(cli):
    with cli.ledger() as ledger:
        ledger.write_now(lambda conn: conn.execute(text("UPDATE alembic_version SET version_num = '9999_future'")))
    assert "newer marketsync (revision 9999_future)" in cli.bad(1, "status")
    assert "newer marketsync (revision 9999_future)" in cli.bad(1, "migrate")
    (cli.folder / "ledger.db").unlink()
    assert "there is no ledger yet: run `marketsync migrate`" in cli.bad(1, "status")
    assert not (cli.folder / "ledger.db").exists()
    assert "migrated: 0001_ledger" in cli.good("migrate")
    assert "nothing to do" in cli.good("migrate")
    assert ["before", "ran", "now"] == list(cli.json("migrate"))


def test_a_ledger_sealed_with_another_key_is_found_by_its_check(cli):
    path = cli.folder / "marketsync.yaml"
    path.write_text(path.read_text().replace(KEY, "bWFya2V0c3luYy10ZXN0LWtleS0wMTIzNDU2Nzg5MDE="))
    code, out, _ = cli("ledger", "verify")
    assert 1 == code
    assert "sealed: the token of account rialto cannot be opened with this key" in out
    assert "3 differences" in out


def test_init_writes_what_check_finds_right_and_overwrites_nothing(bare):
    code, out, err = bare("init")
    assert (0, 3, 0o600) == (code, len(out.splitlines()), (bare.folder / "marketsync.key").stat().st_mode & 0o777)
    assert "marketsync check" in err
    assert "yaml-language-server: $schema=./marketsync.schema.json" in (bare.folder / "marketsync.yaml").read_text()
    assert "is right: 1 channels, 1 sources, 1 sinks" in bare.good("check")
    key = (bare.folder / "marketsync.key").read_text()
    assert "marketsync.yaml is there already, and nothing is overwritten" in bare.bad(1, "init")
    (bare.folder / "marketsync.yaml").unlink()
    assert "marketsync.key is there already" in bare.bad(1, "init")
    assert key == (bare.folder / "marketsync.key").read_text()
    assert 3 == len(bare.json("init", "elsewhere")["written"])


def test_the_schema_is_one_json_document(bare):
    assert "https://json-schema.org/draft/2020-12/schema" == orjson.loads(bare.good("schema"))["$schema"]


# ------------------------------------------------------------------ errors


def _every_error(kind=errors.MarketsyncError):
    for sub in kind.__subclasses__():
        if sub.__module__ == errors.__name__:
            yield sub
            yield from _every_error(sub)


@pytest.mark.parametrize("kind", sorted(_every_error(), key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_every_error_of_ours_is_one_clear_message_and_no_traceback(cli, monkeypatch, kind):
    arguments = {
        errors.ConfigError: ([errors.Problem("a.yaml", 3, 1, "x", "it is wrong")],),
        errors.GuardTripped: ("it is wrong",), errors.QuotaSpent: ("it is wrong",),
    }.get(kind, ("it is wrong",))  # fmt: skip
    more = {errors.GuardTripped: {"changes": 1, "limit": 1.0}, errors.QuotaSpent: {"until": None}}.get(kind, {})

    def fail(_query):
        raise kind(*arguments, **more)

    monkeypatch.setattr(session, "read", fail)
    code = 2 if kind is errors.ConfigError else 1
    assert "it is wrong" in cli.bad(code, "offers")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (PermissionError(13, "Permission denied", "/srv/x"), "marketsync: /srv/x: Permission denied"),
        (ValueError("odd"), "something went wrong that was not foreseen: ValueError: odd; --verbose tells where"),
    ],
)
def test_what_nobody_foresaw_is_a_message_too(cli, monkeypatch, capsys, error, told):
    def fail(_query):
        raise error

    monkeypatch.setattr(session, "read", fail)
    assert told in cli.bad(1, "offers")


def test_asked_for_the_traceback_is_shown(cli, monkeypatch, capsys):
    from marketsync.cli.main import run

    def fail(_query):
        raise ValueError("odd")

    monkeypatch.setattr(session, "read", fail)
    assert 1 == run(["offers", "--verbose"])
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_ends_with_130_and_no_word(cli, monkeypatch):
    def interrupt(_query):
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "read", interrupt)
    assert "" == cli.bad(130, "offers").strip()


def test_whoever_reads_only_the_beginning_hears_no_complaint(cli):
    command = f"{sys.executable} -c 'from marketsync.cli import main; main()' schema | head -1"
    ended = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert ("{\n", "") == (ended.stdout, ended.stderr)


# ------------------------------------------------------------------ terminals


def _on_a_terminal(arguments, **environment):
    """What a command prints on a terminal of 200 columns."""
    parent, child = pty.openpty()
    clean = {"PATH": os.environ["PATH"], "TERM": "xterm-256color", "COLUMNS": "200", **environment}
    with subprocess.Popen([*MARKETSYNC, *arguments], stdout=child, stderr=child, stdin=child, env=clean) as running_:
        os.close(child)
        out = b""
        while True:
            try:
                part = os.read(parent, 65536)
            except OSError:
                break
            if not part:
                break
            out += part
    os.close(parent)
    assert 0 == running_.returncode, out
    return out.decode()


def test_a_terminal_gets_colours_unless_it_asked_for_none(cli):
    coloured = _on_a_terminal(["runs"])
    plain = _on_a_terminal(["runs"], NO_COLOR="1")
    assert "\x1b[31m" in coloured
    assert "\x1b[3" not in plain
    assert "─" in plain
    assert "the channel is down" in plain


# ------------------------------------------------------------------ adapters and sandboxes


def test_the_installed_adapters_and_what_they_can_are_listed(bare):
    found = {one["name"]: one for one in bare.json("adapters")["adapters"]}
    assert ["name", "title", "docs", "capabilities", "api_versions", "problem"] == list(found["sandbox"])
    assert {"push offers", "confirm", "orders", "refund", "webhooks"} <= set(found["sandbox"]["capabilities"])
    assert "Sandbox marketplace" in bare.good("adapters")


def test_a_new_adapter_is_written_and_a_bad_name_refused(bare):
    written = bare.json("adapters", "new", "otto", "--into", "mine")["written"]
    assert all(Path(path).is_file() for path in written)
    assert "'Otto!' cannot name an adapter" in bare.bad(1, "adapters", "new", "Otto!")
    assert "exists already" in bare.bad(1, "adapters", "new", "otto", "--into", "mine")


def test_every_adapter_of_ours_brings_a_marketplace_to_run(bare):
    from marketsync.daemon.adapters import adapter_class

    for one in bare.json("adapters")["adapters"]:
        assert callable(sandbox_app(adapter_class(one["name"]))), one["name"]


def test_an_adapter_nobody_brings_is_named_with_those_there_are(bare):
    assert "there is no adapter nobody: there are " in bare.bad(1, "sandbox", "nobody")


def test_a_marketplace_runs_until_ctrl_c(tmp_path):
    import httpx

    with subprocess.Popen([*MARKETSYNC, "sandbox", "--port", "0", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          cwd=tmp_path, text=True) as market:  # fmt: skip
        told = ""
        while not told.endswith("}\n"):
            line = market.stdout.readline()
            assert line, market.stderr.read()
            told += line
        url = orjson.loads(told)["url"]
        deadline = time.monotonic() + 20
        while True:
            try:
                status = httpx.get(f"{url}/v1/account", headers={"X-Api-Key": "sandbox-key"}).status_code
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline
        market.send_signal(signal.SIGINT)
        _, err = market.communicate(timeout=20)
    assert (200, 130) == (status, market.returncode)
    assert "Traceback" not in err


# ------------------------------------------------------------------ a whole round by hand


SHOP = "sku,title,price,stock,description\nA,Spade,19.99,5,A spade\nB,Rake,9.50,3,A rake\nC,Hoe,x,1,A hoe\n"


@pytest.fixture
def market(bare):
    """A configuration on a marketplace that runs."""
    with running(Market()) as sandbox:
        (bare.folder / "products.csv").write_text(SHOP)
        (bare.folder / "marketsync.yaml").write_text(
            f"key: {KEY}\nledger: sqlite:///ledger.db\n"
            "sources: {pim: {file: products.csv, owns: [content, price, stock], currency: EUR}}\n"
            "channels:\n  shop:\n    adapter: sandbox\n    credentials: {api_key: sandbox-key}\n"
            f"    settings: {{base_url: '{sandbox.url}', limits: false}}\n    price: {{currency: EUR}}\n"
        )
        yield sandbox


def test_from_a_file_to_the_marketplace_by_hand(bare, market):
    """sync makes the ledger and only watches; adopt shows what it would do, and does it when told; sync sends."""
    found = bare.json("sync")
    assert ["owner", "task", "outcome", "counts", "error", "seconds"] == list(found["tasks"][0])
    assert {"observing"} == {channel["state"] for channel in bare.json("status")["channels"]}
    asked = bare.json("adopt", "shop")
    assert {"matched": 0, "missing": 2, "unknown": 0, "open_orders": 0, "adopted": False} == {
        name: asked[name] for name in ("matched", "missing", "unknown", "open_orders", "adopted")
    }
    assert "nothing was changed: repeat it with --yes" in bare.good("adopt", "shop")
    assert "shop is adopted: marketsync writes listing, price, stock from now on" in bare.good("adopt", "shop", "--yes")
    out = bare.good("sync")
    assert re.search(r"^push +shop +done ", out, re.MULTILINE), out
    offers = bare.json("offers")["offers"]
    assert [("A", 5, [], 1999), ("B", 3, [], 950)] == [
        (one["sku"], one["stock_shown"], one["dirty"], one["price_shown"]["minor"]) for one in offers
    ]
    assert ["C"] == [issue["sku"] for issue in bare.json("issues", "--of", "pim")["issues"]]
    assert "the ledger is well\n" == bare.good("ledger", "verify")


def test_only_some_tasks_and_channels_are_done_when_asked(bare, market):
    assert {"ingest"} == {one["task"] for one in bare.json("sync", "--task", "ingest")["tasks"]}
    assert "there is no channel x: name one of shop" in bare.bad(1, "sync", "--channel", "x")
    assert "there is no task x: name one of " in bare.bad(1, "sync", "--task", "x")


def test_a_round_in_which_something_failed_ends_with_1(bare, market):
    (bare.folder / "products.csv").unlink()
    code, out, err = bare("sync")
    assert (1, "") == (code, err)
    assert re.search(r"^ingest +pim +failed .*products\.csv: there is no such file", out, re.MULTILINE), out


def test_beside_a_daemon_no_round_is_run_and_no_schema_changed(bare, market):
    lock = DaemonLock(f"sqlite:///{bare.folder}/ledger.db")
    assert "another marketsync owns this ledger" in bare.bad(1, "migrate")
    lock.release()
    bare.good("migrate")
    lock = DaemonLock(f"sqlite:///{bare.folder}/ledger.db")
    assert f"another marketsync owns this ledger (process {os.getpid()})" in bare.bad(1, "sync")
    lock.release()


def test_the_command_tree_has_no_two_commands_of_one_name():
    import typer

    tree = typer.main.get_command(command_tree.app)
    registered = len(command_tree.app.registered_commands) + len(command_tree.app.registered_groups)
    assert registered == len(tree.commands)
