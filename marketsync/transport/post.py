"""Posts a document to a webhook."""

from collections.abc import Mapping

from marketsync.adapter.errors import OutcomeUnknown, Unavailable, UnexpectedReply
from marketsync.transport.wire import Answer, NoReply, NotSent, Transport, Unsendable, Wire


async def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    timeout: float,  # noqa: ASYNC109  it bounds each phase of the exchange as well
    *,
    transport: Transport | None = None,
) -> Answer:
    """One POST; the reply whatever its status, at most 64 KiB of it unless it is a 2xx. Redirects are not followed.

    Raises ``Unavailable`` (nothing was sent), ``OutcomeUnknown`` (sent, no usable reply came) and
    ``UnexpectedReply`` (the address is none).
    """
    wire = Wire(connections=1, transport=transport)
    try:
        answer = await wire.exchange("POST", url, headers=headers, content=body, timeout=timeout)
    except NotSent as error:
        raise Unavailable(f"the webhook cannot be reached: {error}") from error
    except NoReply as error:
        raise OutcomeUnknown(f"the webhook gave no usable answer: {error}") from error
    except Unsendable as error:
        raise UnexpectedReply(f"the webhook's address or a header cannot be used: {error}") from error
    finally:
        await wire.aclose()
    return answer
