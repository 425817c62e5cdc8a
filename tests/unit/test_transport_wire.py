"""The wire against a real server on the loopback: what breaks on a real socket becomes the right word."""

import asyncio
import gzip
import io
from collections.abc import Awaitable, Callable

import pytest

from marketsync.adapter.errors import AuthRefused, OutcomeUnknown, Unavailable, UnexpectedReply
from marketsync.transport.fetch import fetch
from marketsync.transport.post import post
from marketsync.transport.wire import NoReply, NotSent, Wire, ssl_context

Answering = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
DAY = "Sun, 01 Mar 2026 12:00:00 GMT"


def reply(status="200 OK", body=b"", *headers, length=None):
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


def served(answering: Answering, use):
    """Run ``use(base_url)`` beside a server that hands each connection's first request to ``answering``."""

    async def connected(reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            await answering(head, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def scenario():
        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        async with server:
            return await use(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    return asyncio.run(scenario())


def exchange(answering: Answering, timeout=5.0):
    async def use(base):
        wire = Wire(connections=1)
        try:
            return await wire.exchange("POST", base + "/x", headers={}, content=b"body", timeout=timeout)
        finally:
            await wire.aclose()

    return served(answering, use)


async def closed_port():
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return f"http://127.0.0.1:{port}/"


def test_a_reply_comes_back_whole_with_header_names_in_lower_case():
    async def answering(head, writer):
        assert head.startswith(b"POST /x HTTP/1.1")
        writer.write(reply("207 Multi-Status", b"12345", "X-Id: 7"))

    answer = exchange(answering)
    assert (207, b"12345", "7", True, False) == (
        answer.status, answer.content, answer.headers["x-id"], answer.complete, answer.cut
    )  # fmt: skip


def test_a_refused_connection_was_not_sent():
    async def use():
        wire = Wire(connections=1)
        try:
            await wire.exchange("POST", await closed_port(), headers={}, timeout=5)
        finally:
            await wire.aclose()

    with pytest.raises(NotSent):
        asyncio.run(use())


def test_a_name_that_does_not_exist_was_not_sent():
    async def use():
        wire = Wire(connections=1)
        try:
            await wire.exchange("GET", "http://no-such-host.invalid/", headers={}, timeout=5)
        finally:
            await wire.aclose()

    with pytest.raises(NotSent):
        asyncio.run(use())


def test_a_server_that_hangs_up_without_a_word_leaves_no_reply():
    async def answering(head, writer):
        writer.close()

    with pytest.raises(NoReply) as lost:
        exchange(answering)
    assert not lost.value.timeout


def test_a_server_that_never_answers_times_out():
    async def answering(head, writer):
        await asyncio.Event().wait()

    with pytest.raises(NoReply, match=r"no reply within 0\.2 seconds") as lost:
        exchange(answering, timeout=0.2)
    assert lost.value.timeout


def test_a_server_that_sends_byte_by_byte_cannot_hold_a_request_for_ever():
    async def answering(head, writer):
        writer.write(reply(length=10**6))
        while not writer.is_closing():
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.02)

    with pytest.raises(NoReply) as lost:
        exchange(answering, timeout=0.3)
    assert lost.value.timeout


def test_a_body_that_is_cut_off_is_not_complete():
    async def answering(head, writer):
        writer.write(reply(body=b'{"half":', length=100))

    answer = exchange(answering)
    assert (b'{"half":', False) == (answer.content, answer.complete)


def test_what_is_no_http_is_no_reply():
    async def answering(head, writer):
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")

    with pytest.raises(NoReply):
        exchange(answering)


def test_a_huge_error_page_is_read_no_further_than_64_kib():
    async def answering(head, writer):
        writer.write(reply("500 Oh", length=100 * 2**20))
        for _ in range(100):
            writer.write(b"x" * 2**20)
            await writer.drain()

    answer = exchange(answering)
    assert (500, 64 * 2**10, True) == (answer.status, len(answer.content), answer.cut)


def test_a_gzip_body_is_unpacked_and_broken_gzip_is_not_complete():
    async def packed(head, writer):
        writer.write(reply("200 OK", gzip.compress(b"hello"), "Content-Encoding: gzip"))

    async def broken(head, writer):
        writer.write(reply("200 OK", b"no gzip", "Content-Encoding: gzip"))

    assert b"hello" == exchange(packed).content
    assert not exchange(broken).complete


def test_one_ssl_context_serves_the_process():
    assert ssl_context() is ssl_context()


# fetch


def fetched(answering: Answering, **more):
    async def use(base):
        target = io.BytesIO()
        wanted = {"max_bytes": 1000, "timeout": 5.0} | more
        return await fetch(base + "/feed.csv?key=hush", target, **wanted), target.getvalue()

    return served(answering, use)


def test_a_file_is_streamed_with_what_tells_whether_it_has_changed():
    async def answering(head, writer):
        assert b"authorization: Bearer x\r\n" in head.lower().replace(b"bearer", b"Bearer")
        writer.write(reply("200 OK", b"sku\n1\n", 'ETag: "v1"', f"Last-Modified: {DAY}", "Content-Type: text/csv"))

    told, content = fetched(answering, headers={"Authorization": "Bearer x"})
    assert (200, '"v1"', DAY, "text/csv", 6) == (
        told.status, told.etag, told.last_modified, told.content_type, told.size
    )  # fmt: skip
    assert b"sku\n1\n" == content


def test_a_file_that_has_not_changed_is_not_sent_again():
    async def answering(head, writer):
        assert b'if-none-match: "v1"' in head.lower()
        assert f"If-Modified-Since: {DAY}".encode() in head
        writer.write(reply("304 Not Modified"))

    told, content = fetched(answering, etag='"v1"', last_modified=DAY)
    assert (304, 0, b"") == (told.status, told.size, content)


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        ("401 No", AuthRefused, r"feed\.csv refuses the credentials \(401\)"),
        ("403 No", AuthRefused, "refuses the credentials"),
        ("404 No", UnexpectedReply, "answered 404: is the address right"),
        ("500 No", Unavailable, "answered 500"),
        ("429 No", Unavailable, "answered 429"),
    ],
)
def test_a_file_that_is_not_there_is_the_right_error_without_the_query(status, error, says):
    async def answering(head, writer):
        writer.write(reply(status))

    with pytest.raises(error, match=says) as raised:
        fetched(answering)
    assert "hush" not in str(raised.value)


def test_a_file_that_is_cut_off_is_not_a_file():
    async def answering(head, writer):
        writer.write(reply(body=b"sku\n1", length=100))

    with pytest.raises(Unavailable, match="cannot be read"):
        fetched(answering)


def test_a_file_that_is_too_large_is_refused():
    async def answering(head, writer):
        writer.write(reply(body=b"x" * 1001))

    with pytest.raises(UnexpectedReply, match="larger than 1,000 bytes: raise the source's limit"):
        fetched(answering)


def test_a_file_that_never_ends_is_given_up():
    async def answering(head, writer):
        writer.write(reply(length=10**6))
        while not writer.is_closing():
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.02)

    with pytest.raises(Unavailable, match="cannot be read"):
        fetched(answering, timeout=0.3)


def test_a_redirect_is_followed_without_the_credentials_to_another_host():
    heads = []

    async def elsewhere(head, writer):
        heads.append(head)
        writer.write(reply(body=b"file"))

    async def use(other):
        async def here(head, writer):
            heads.append(head)
            if b"/feed.csv" in head:
                writer.write(reply("302 Found", b"", "Location: /moved"))
            else:
                writer.write(reply("302 Found", b"", f"Location: {other}/file"))

        return await use_both(here)

    async def use_both(here):
        async def connected(reader, writer):
            await here(await reader.readuntil(b"\r\n\r\n"), writer)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        async with server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/feed.csv"
            target = io.BytesIO()
            await fetch(url, target, headers={"X-Key": "hush"}, max_bytes=10, timeout=5)
            return target.getvalue()

    assert b"file" == served(elsewhere, use)
    assert [True, True, False] == [b"hush" in head for head in heads]


def test_redirects_in_circles_end():
    async def answering(head, writer):
        writer.write(reply("302 Found", b"", "Location: /feed.csv"))

    with pytest.raises(UnexpectedReply, match="redirects in circles"):
        fetched(answering)


# post


def posted(answering: Answering, timeout=5.0):
    return served(answering, lambda base: post(base, b"{}", {"X-Signature": "s"}, timeout))


def test_a_webhook_gets_the_document_and_its_reply_comes_back_whatever_it_says():
    async def answering(head, writer):
        assert b"x-signature: s" in head.lower()
        writer.write(reply("409 Conflict", b"twice"))

    answer = posted(answering)
    assert (409, b"twice") == (answer.status, answer.content)


def test_a_webhook_that_cannot_be_reached_got_nothing():
    async def use():
        return await post(await closed_port(), b"{}", {}, 5)

    with pytest.raises(Unavailable, match="cannot be reached"):
        asyncio.run(use())


def test_a_webhook_that_hangs_up_may_have_got_it():
    async def answering(head, writer):
        writer.close()

    with pytest.raises(OutcomeUnknown, match="no usable answer"):
        posted(answering)


def test_a_webhook_address_that_is_none_says_so():
    with pytest.raises(UnexpectedReply, match="cannot be used"):
        asyncio.run(post("erp.example/orders", b"{}", {}, 5))
