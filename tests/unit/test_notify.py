"""What the daemon tells systemd, over a real datagram socket, and what it notices of its own configuration files."""

import asyncio
import os
import socket
import sys
import tempfile
from pathlib import Path

import pytest
import structlog

from marketsync.daemon.notify import Notifier
from marketsync.daemon.watch import changes
from marketsync.testing.clock import TurnedClock


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return messages


def abstract_or_path():
    yield pytest.param("path", id="path")
    yield pytest.param(
        "abstract",
        id="abstract",
        marks=pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's own"),
    )


@pytest.fixture(params=abstract_or_path())
def systemd(request):
    with tempfile.TemporaryDirectory() as folder:  # tmp_path may be longer than a socket's name may be
        address = f"{folder}/notify" if request.param == "path" else f"@marketsync-test-{os.getpid()}-{folder}"
        other = Systemd(address)
        yield other
        other.socket.close()


def notifier(systemd, clock=None, **environ) -> Notifier:
    return Notifier(clock or TurnedClock(), {"NOTIFY_SOCKET": systemd.address, **environ})


def test_each_state_is_one_datagram(systemd):
    clock = TurnedClock()
    clock.advance(12.345678)
    notify = notifier(systemd, clock)
    notify.ready("3 channels,\n2 active")
    notify.status("pushing")
    notify.reloading("reading marketsync.yaml")
    notify.ready()
    notify.extend_timeout(2.5)
    notify.alive()
    notify.stopping("draining")
    assert notify.listened_to
    assert [
        "READY=1\nSTATUS=3 channels, 2 active",
        "STATUS=pushing",
        "RELOADING=1\nMONOTONIC_USEC=12345678\nSTATUS=reading marketsync.yaml",
        "READY=1",
        "EXTEND_TIMEOUT_USEC=2500000",
        "WATCHDOG=1",
        "STOPPING=1\nSTATUS=draining",
    ] == systemd.heard()


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_where_nobody_listens_nothing_happens(environ):
    notify = Notifier(TurnedClock(), environ | {"WATCHDOG_USEC": "1000000"})
    notify.ready()
    notify.stopping()
    asyncio.run(notify.keep_alive(lambda: True))
    assert not notify.listened_to


def test_a_listener_that_is_gone_is_logged_once_and_nothing_else(systemd):
    notify = notifier(systemd)
    systemd.socket.close()
    if not systemd.address.startswith("@"):
        Path(systemd.address).unlink()
    with structlog.testing.capture_logs() as lines:
        notify.status("one")
        notify.status("two")
    assert ["systemd cannot be told how we are"] == [line["event"] for line in lines]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_ours_only_when_systemd_says_so(environ, expected):
    assert expected == Notifier(TurnedClock(), environ).watchdog_seconds


def test_the_watchdog_is_stroked_at_half_its_interval_while_all_is_well(systemd):
    clock, well = TurnedClock(), [True]
    notify = notifier(systemd, clock, WATCHDOG_USEC="10000000")

    async def run():
        task = asyncio.create_task(notify.keep_alive(lambda: well[0]))
        await clock.turn(0)
        await clock.turn(10)
        assert 3 * ["WATCHDOG=1"] == systemd.heard()
        well[0] = False
        await clock.turn(20)
        assert [] == systemd.heard()
        well[0] = True
        await clock.turn(5)
        assert ["WATCHDOG=1"] == systemd.heard()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


# The configuration files


class Watched:
    """Runs ``changes`` over ``files`` and collects what it yields."""

    def __init__(self, files) -> None:
        self.clock = TurnedClock()
        self.seen = []
        self.files = files

    async def __aenter__(self):
        self.task = asyncio.create_task(self.collect())
        await self.clock.turn(0)
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def collect(self):
        async for changed in changes(lambda: self.files, self.clock, every=2):
            self.seen.append({path.name for path in changed})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.yaml").write_text("a: 1")
    (tmp_path / "b.yaml").write_text("b: 1")
    return tmp_path


def watching(folder, scenario):
    async def run():
        async with Watched([folder / "a.yaml", folder / "b.yaml"]) as watched:
            await scenario(watched)
            return watched.seen

    return asyncio.run(run())


def test_a_changed_file_is_told_once_and_after_it_was_still(folder):
    async def scenario(watched):
        await watched.clock.turn(10)
        (folder / "a.yaml").write_text("a: 22")
        await watched.clock.turn(2)
        assert [] == watched.seen
        await watched.clock.turn(20)

    assert [{"a.yaml"}] == watching(folder, scenario)


def test_a_file_that_is_still_being_written_waits(folder):
    async def scenario(watched):
        for length in range(5, 10):
            (folder / "a.yaml").write_text("x" * length)
            await watched.clock.turn(2)
            assert [] == watched.seen
        await watched.clock.turn(2)

    assert [{"a.yaml"}] == watching(folder, scenario)


def test_files_changed_together_are_told_together(folder):
    async def scenario(watched):
        (folder / "a.yaml").write_text("a: 22")
        (folder / "b.yaml").write_text("b: 22")
        await watched.clock.turn(4)

    assert [{"a.yaml", "b.yaml"}] == watching(folder, scenario)


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_noticed(folder):
    """As Kubernetes does, whose files are links that are turned to another folder."""

    async def scenario(watched):
        old = (folder / "a.yaml").stat()
        new = folder / "new"
        new.write_text("a: 2")
        os.utime(new, ns=(old.st_atime_ns, old.st_mtime_ns))
        new.replace(folder / "a.yaml")
        await watched.clock.turn(4)

    assert [{"a.yaml"}] == watching(folder, scenario)


def test_a_file_that_was_away_for_a_moment_only_did_not_change_in_that_moment(folder):
    async def scenario(watched):
        (folder / "a.yaml").rename(folder / "backup")
        await watched.clock.turn(2)
        (folder / "backup").rename(folder / "a.yaml")
        await watched.clock.turn(10)

    assert [] == watching(folder, scenario)


def test_a_file_that_went_and_one_that_came_are_changes(folder):
    async def scenario(watched):
        (folder / "b.yaml").unlink()
        await watched.clock.turn(6)
        (folder / "b.yaml").write_text("b: 1")
        await watched.clock.turn(6)

    assert [{"b.yaml"}, {"b.yaml"}] == watching(folder, scenario)


def test_a_file_that_a_reload_brought_is_known_from_then_on(folder):
    (folder / "c.yaml").write_text("c: 1")

    async def scenario(watched):
        watched.files.append(folder / "c.yaml")
        await watched.clock.turn(6)
        assert [] == watched.seen
        (folder / "c.yaml").write_text("c: 22")
        await watched.clock.turn(6)

    assert [{"c.yaml"}] == watching(folder, scenario)
