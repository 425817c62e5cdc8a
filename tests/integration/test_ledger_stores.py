"""Who owns a ledger, who runs a task, and what the transport keeps: limits and tokens."""

import asyncio
import os
import subprocess
import sys
from datetime import timedelta
from multiprocessing.pool import ThreadPool

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import text

from marketsync.adapter.errors import Busy, LedgerError
from marketsync.daemon.stores import LedgerBuckets, LedgerTokens
from marketsync.domain.limits import BucketState
from marketsync.ledger import leases
from marketsync.ledger.epochs import next_epoch
from marketsync.ledger.gateway import Fence, Ledger
from marketsync.ledger.lock import DaemonLock, lock_path
from marketsync.ledger.vault import Vault
from marketsync.transport.auth import StoredToken
from tests.integration.ledger_rows import NOW, open_ledger

TTL = timedelta(seconds=30)


@pytest.fixture
def ledger(ledger_url):
    ledger = open_ledger(ledger_url)
    yield ledger
    ledger.close()


# ------------------------------------------------------------------ the lock of a SQLite ledger


@pytest.fixture
def sqlite_url(tmp_path):
    return f"sqlite:///{tmp_path}/data/ledger.db"


def test_a_second_daemon_is_told_whose_the_ledger_is_and_what_to_do(sqlite_url):
    lock = DaemonLock(sqlite_url)
    with pytest.raises(Busy, match=rf"process {os.getpid()}\): stop it first"):
        DaemonLock(sqlite_url)
    lock.release()
    lock.release()
    DaemonLock(sqlite_url).release()


def test_the_lock_ends_with_the_process_that_held_it_however_it_ended(sqlite_url):
    code = f"from marketsync.ledger.lock import DaemonLock; lock = DaemonLock({sqlite_url!r}); print('mine', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert b"mine\n" == other.stdout.readline()
        with pytest.raises(Busy, match=f"process {other.pid}"):
            DaemonLock(sqlite_url)
        other.kill()
        other.wait()
        assert lock_path(sqlite_url).read_text().strip() == str(other.pid)
        DaemonLock(sqlite_url).release()


def test_a_folder_that_cannot_be_made_is_told_in_one_sentence(tmp_path):
    (tmp_path / "data").write_text("a file where the folder belongs")
    with pytest.raises(LedgerError, match=r"the lock file .* cannot be made"):
        DaemonLock(f"sqlite:///{tmp_path}/data/ledger.db")


def test_on_postgresql_the_lock_holds_nothing():
    url = "postgresql://nobody@127.0.0.1:1/nothing"
    first, second = DaemonLock(url), DaemonLock(url)
    first.release()
    second.release()


def test_every_start_gets_a_higher_epoch(ledger):
    assert [1, 2, 3] == [ledger.write_now(next_epoch) for _ in range(3)]


# ------------------------------------------------------------------ leases


def _acquire(ledger, owner, now):
    return ledger.write_now(lambda conn: leases.acquire(conn, "rialto", "push", owner, TTL, now))


def test_a_lease_has_one_owner_until_it_expires_and_every_owner_a_higher_epoch(ledger):
    assert 1 == _acquire(ledger, "one", NOW)
    assert _acquire(ledger, "two", NOW + TTL / 2) is None
    assert 2 == _acquire(ledger, "two", NOW + TTL)
    assert _acquire(ledger, "one", NOW + TTL) is None


def test_a_lease_that_was_given_back_is_free_at_once_and_its_epoch_still_grows(ledger):
    epoch = _acquire(ledger, "one", NOW)
    ledger.write_now(lambda conn: leases.release(conn, "rialto", "push", "one", epoch))
    assert epoch + 1 == _acquire(ledger, "two", NOW)


def test_who_lost_a_lease_can_neither_renew_nor_release_it(ledger):
    lost = _acquire(ledger, "one", NOW)
    held = _acquire(ledger, "two", NOW + TTL)
    renew = leases.renew
    assert not ledger.write_now(lambda conn: renew(conn, "rialto", "push", "one", lost, TTL, NOW + TTL))
    ledger.write_now(lambda conn: leases.release(conn, "rialto", "push", "one", lost))
    assert ledger.write_now(lambda conn: renew(conn, "rialto", "push", "two", held, TTL, NOW + 2 * TTL))
    assert _acquire(ledger, "three", NOW + 2.5 * TTL) is None


def test_of_many_who_want_a_lease_one_gets_it(ledger):
    with ThreadPool(6) as pool:
        epochs = pool.map(lambda n: _acquire(ledger, f"worker-{n}", NOW), range(6))
    assert [1] == [epoch for epoch in epochs if epoch is not None]


def test_a_write_under_a_lease_that_was_lost_does_nothing(postgres_url):
    ledger = open_ledger(postgres_url)
    lost = _acquire(ledger, "one", NOW)
    _acquire(ledger, "two", NOW + TTL)
    with pytest.raises(LedgerError, match="another worker"):
        ledger.write_now(next_epoch, fence=Fence("rialto", "push", "one", lost))
    assert 1 == ledger.write_now(next_epoch)
    ledger.close()


# ------------------------------------------------------------------ limits


def test_a_limit_outlives_the_process_with_everything_it_knows(ledger, ledger_url):
    state = BucketState(tat=NOW.timestamp() + 0.25, blocked_until=1.5, learned=0.5, used=3, window=NOW.timestamp())
    assert 7.0 == asyncio.run(LedgerBuckets(ledger).update("rialto", "feeds", lambda _: (state, 7.0)))
    other, read = Ledger(ledger_url, ledger.vault), []
    asyncio.run(LedgerBuckets(other).update("rialto", "feeds", lambda known: (read.append(known) or known, 0.0)))
    other.close()
    assert [state] == read


def test_a_limit_that_is_used_for_the_first_time_has_no_state(ledger):
    read = []
    asyncio.run(
        LedgerBuckets(ledger).update("rialto", "feeds", lambda known: (read.append(known) or BucketState(), 0.0))
    )
    assert [None] == read


def test_calls_of_many_workers_are_all_counted(ledger):
    def one_more(state):
        return BucketState(used=(state.used if state else 0) + 1), 0.0

    async def work():
        stores = LedgerBuckets(ledger)
        await asyncio.gather(*(stores.update("rialto", "daily", one_more) for _ in range(40)))

    asyncio.run(work())
    used = ledger.read_now(lambda conn: conn.execute(text("SELECT used FROM rate_bucket")).scalar_one())
    assert 40 == used


def test_a_limit_whose_change_fails_stays_as_it_was(ledger):
    store = LedgerBuckets(ledger)

    def fails(_state):
        raise TypeError("the bucket cannot learn")

    with pytest.raises(TypeError, match="cannot learn"):
        asyncio.run(store.update("rialto", "feeds", fails))
    assert 0 == ledger.read_now(lambda conn: conn.execute(text("SELECT COUNT(*) FROM rate_bucket")).scalar_one())


# ------------------------------------------------------------------ tokens


def _token(access, version):
    return StoredToken(access, NOW + TTL, f"refresh-{version}", NOW + 99 * TTL, version, "origin")


def test_a_token_comes_back_as_it_was_stored(ledger):
    store = LedgerTokens(ledger)
    assert asyncio.run(store.load("rialto")) is None
    assert asyncio.run(store.save("rialto", _token("one", 1), 0))
    assert _token("one", 1) == asyncio.run(store.load("rialto"))


def test_of_two_that_replace_the_same_token_the_first_wins(ledger):
    store = LedgerTokens(ledger)
    assert asyncio.run(store.save("rialto", _token("one", 1), 0))
    assert not asyncio.run(store.save("rialto", _token("other", 1), 0))
    assert asyncio.run(store.save("rialto", _token("two", 2), 1))
    assert not asyncio.run(store.save("rialto", _token("late", 2), 1))
    assert _token("two", 2) == asyncio.run(store.load("rialto"))


def test_tokens_stand_sealed_in_the_ledger_and_another_key_does_not_open_them(ledger, ledger_url):
    asyncio.run(LedgerTokens(ledger).save("rialto", _token("access-secret", 1), 0))
    sealed = ledger.read_now(lambda conn: conn.execute(text("SELECT sealed FROM oauth_token")).scalar_one())
    assert b"secret" not in bytes(sealed)
    other = Ledger(ledger_url, Vault(Fernet.generate_key().decode()))
    with pytest.raises(LedgerError, match="another key"):
        asyncio.run(LedgerTokens(other).load("rialto"))
    other.close()
