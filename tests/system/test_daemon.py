"""The daemon as a process: it starts, says how it is, reloads, drains, dies and comes back, and is alone on its ledger."""

import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from marketsync.testing.sandbox import RunningSandbox, running
from marketsync_adapters.sandbox.faults import Fault, FaultKind
from marketsync_adapters.sandbox.market import Market
from marketsync_adapters.sandbox.rules import Rules
from tests.engine import KEY
from tests.system.daemon_process import PATIENCE, DaemonProcess, free_port
from tests.system.stage import adopt_all

ITEMS = 12
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def shop() -> Iterator[RunningSandbox]:
    with running(Market(Rules(limits={}, job_time=timedelta(milliseconds=50)))) as sandbox:
        yield sandbox


def configured(
    folder: Path, ledger: str, shop: RunningSandbox, *, name: str = "marketsync.yaml", extra: str = ""
) -> Path:
    """A shop of 12 items at 10.00 with 5 pieces each, pulled every second."""
    rows = [f"A-{number},Item {number},10.00,5" for number in range(ITEMS)]
    (folder / "items.csv").write_text("\n".join(["sku,title,price,stock", *rows]) + "\n")
    path = folder / name
    path.write_text(
        f"ledger: {ledger}\nkey: {KEY}\nmetrics: 127.0.0.1:{free_port()}\n"
        "sources:\n  pim: {file: items.csv, every: 1s, owns: [content, price, stock]}\n"
        "sinks:\n  erp: {folder: sink}\n"
        "channels:\n  shop:\n    adapter: sandbox\n    credentials: {api_key: sandbox-key}\n"
        f"    settings: {{base_url: '{shop.url}', limits: false}}\n"
        "    guards: {prices_moved: off, zeroed: off}\n"
        "    schedule: {orders: 1s, stock: 1s, price: 1s, listing: 1s, reconcile: 30s}\n" + extra
    )
    return path


@contextmanager
def daemon_on(config: Path, **environ: str) -> Iterator[DaemonProcess]:
    port = re.search(r"metrics: 127\.0\.0\.1:(\d+)", config.read_text())
    assert port is not None
    daemon = DaemonProcess(config, port=int(port[1]), environ=environ)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.close()


def until(said: Callable[[], bool], daemon: DaemonProcess, what: str) -> None:
    """Wait until something is so; the end of the daemon's log where it never is."""
    ends = time.monotonic() + PATIENCE
    while not said():
        assert time.monotonic() < ends, f"never happened: {what}\n{daemon.tail()}"
        time.sleep(0.05)


def shown(shop: RunningSandbox) -> dict[str, tuple[str, int]]:
    """Price and pieces by SKU of what is complete on the shelf."""
    return shop.call(
        lambda market: {
            o.sku: (o.price["amount"], o.quantity) for o in market.shelf if o.price and o.quantity is not None
        }
    )


def everything(price: str = "10.00", **pieces: int) -> dict[str, tuple[str, int]]:
    return {f"A-{number}": (price, pieces.get(f"A_{number}", 5)) for number in range(ITEMS)}


def metric(daemon: DaemonProcess, name: str) -> float:
    """The sum of a metric over its labels."""
    found = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", daemon.get("/metrics")[1], re.MULTILINE)
    return sum(map(float, found))


def test_it_starts_works_tells_how_it_is_and_drains(ledger_url, tmp_path, shop):
    """READY after its ledger and listeners are there; orders come home; SIGTERM ends it with 0 and nothing open."""
    config = configured(tmp_path, ledger_url, shop)
    adopt_all(config)
    with listening(tmp_path / "notify") as heard, daemon_on(config, NOTIFY_SOCKET=str(tmp_path / "notify")) as daemon:
        daemon.ready()
        assert (200, 200) == (daemon.get("/healthz")[0], daemon.get("/readyz")[0])
        until(lambda: shown(shop) == everything(), daemon, "all items are on the shelf")
        order = shop.call(lambda market: market.buy([("A-1", 2)])).order_id
        until(lambda: shop.call(lambda m: m.sales.orders[order].acknowledged), daemon, "the order is acknowledged")
        until((tmp_path / "sink" / f"shop-{order}-r1.json").exists, daemon, "the order is in the sink")
        until(lambda: shown(shop) == everything(A_1=3), daemon, "three pieces are left")
        assert (1, 2) == (metric(daemon, "marketsync_orders_total"), metric(daemon, "marketsync_units_sold_total"))
        assert 0 == daemon.stop(), daemon.tail()
        assert 0 == daemon.get("/healthz")[0]
        said = "\n".join(heard())
    assert 0 < said.find("READY=1\nSTATUS=1 channels, 1 sources") + 1 < said.find("STOPPING=1"), said
    assert "Traceback" not in daemon.tail(1000)


@contextmanager
def listening(path: Path) -> Iterator[Callable[[], list[str]]]:
    """systemd's end of the notification socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        sock.setblocking(False)
        messages: list[str] = []

        def heard() -> list[str]:
            while True:
                try:
                    messages.append(sock.recv(4096).decode())
                except BlockingIOError:
                    return messages

        yield heard


def test_sigterm_waits_for_a_request_that_is_under_way(tmp_path, shop):
    """A slow answer is still taken: nothing is left open in the ledger, the shelf shows what was sent."""
    config = configured(tmp_path, f"sqlite:///{tmp_path / 'ledger.db'}", shop)
    adopt_all(config)
    with daemon_on(config) as daemon:
        daemon.ready()
        until(lambda: shown(shop) == everything(), daemon, "all items are on the shelf")
        shop.call(lambda market: market.faults.add(Fault(FaultKind.SLOW, "prices", seconds=3.0)))
        text = (tmp_path / "items.csv").read_text()
        (tmp_path / "items.csv").write_text(text.replace("10.00", "12.00"))
        until(lambda: shop.call(lambda m: m.faults.happened["slow"]) == 1, daemon, "the slow answer has begun")
        assert 0 == daemon.stop(), daemon.tail()
        assert '"cut_off":0' in daemon.tail().replace(" ", ""), daemon.tail()
    assert everything("12.00") == shown(shop)
    with daemon_on(config) as daemon:
        daemon.ready()
        assert "without an answer" not in daemon.log.read_text()
        daemon.stop()


def test_after_sigkill_it_goes_on_where_it_was(ledger_url, tmp_path, shop):
    """Killed with a request under way: what it carried is sent again, and what was sold meanwhile comes home once."""
    config = configured(tmp_path, ledger_url, shop)
    adopt_all(config)
    with daemon_on(config) as daemon:
        daemon.ready()
        until(lambda: shown(shop) == everything(), daemon, "all items are on the shelf")
        shop.call(lambda market: market.faults.add(Fault(FaultKind.TIMEOUT_AFTER, "prices", seconds=20.0)))
        text = (tmp_path / "items.csv").read_text()
        (tmp_path / "items.csv").write_text(text.replace("10.00", "12.00"))
        until(lambda: shop.call(lambda m: m.faults.happened["timeout_after"]) == 1, daemon, "the request is under way")
        daemon.kill()
        assert -signal.SIGKILL == daemon.exit_code
        orders = [shop.call(lambda market: market.buy([("A-2", 1)])).order_id for _ in range(3)]
        daemon.start()
        daemon.ready()
        assert "batches without an answer are sent again" in daemon.log.read_text()
        until(lambda: shown(shop) == everything("12.00", A_2=2), daemon, "prices and stock are right")
        files = [f"shop-{order}-r1.json" for order in orders]
        until(lambda: files == sorted(p.name for p in (tmp_path / "sink").glob("*.json")), daemon, "three orders, once")
        assert 0 == daemon.stop(), daemon.tail()


def test_a_broken_file_changes_nothing_and_a_good_one_is_taken_without_a_restart(tmp_path, shop):
    """SIGHUP: the old configuration goes on and log and metric say why; then markup arrives on the shelf."""
    config = configured(tmp_path, f"sqlite:///{tmp_path / 'ledger.db'}", shop)
    adopt_all(config)
    good = config.read_text()
    with daemon_on(config) as daemon:
        daemon.ready()
        until(lambda: shown(shop) == everything(), daemon, "all items are on the shelf")
        pid = daemon.pid
        config.write_text(good.replace("sinks:", "sincs:"))
        daemon.reload()
        until(lambda: "sincs" in daemon.log.read_text(), daemon, "the mistake is told")
        assert "did you mean sinks" in daemon.log.read_text()
        assert 0 == metric(daemon, "marketsync_config_reload_success"), daemon.get("/metrics")[1]
        shop.call(lambda market: market.buy([("A-3", 1)]))
        until(lambda: shown(shop) == everything(A_3=4), daemon, "the old configuration works on")
        config.write_text(good + "    price: {markup: 20%}\n")
        daemon.reload()
        until(lambda: shown(shop) == everything("12.00", A_3=4), daemon, "the markup is on the shelf")
        assert 1 == metric(daemon, "marketsync_config_reload_success")
        assert pid == daemon.pid
        assert 0 == daemon.stop(), daemon.tail()


def test_a_second_daemon_on_the_same_ledger_is_refused_in_one_line(ledger_url, tmp_path, shop):
    """It ends by itself and says that another works; the first does not notice."""
    config = configured(tmp_path, ledger_url, shop)
    adopt_all(config)
    (tmp_path / "other").mkdir()
    other = configured(tmp_path / "other", ledger_url, shop)
    with daemon_on(config) as daemon:
        daemon.ready()
        with daemon_on(other) as second:
            assert 0 != second.wait(60)
            said = [line for line in second.log.read_text().splitlines() if line.strip()]
        assert 1 == len(said), said
        assert "another" in said[0]
        assert "Traceback" not in said[0]
        assert 200 == daemon.get("/readyz")[0]
        assert 0 == daemon.stop(), daemon.tail()


def test_a_ledger_that_cannot_be_reached_is_one_line(tmp_path, shop):
    """No daemon, no traceback, and no password."""
    config = configured(tmp_path, "postgresql://nobody:a-secret-word@127.0.0.1:1/none", shop)
    with daemon_on(config) as daemon:
        assert 0 != daemon.wait(60)
        said = [line for line in daemon.log.read_text().splitlines() if line.strip()]
        assert 1 == len(said), said
        assert "a-secret-word" not in said[0]
