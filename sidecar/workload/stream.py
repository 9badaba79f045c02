"""The stream of an agent, over gRPC and a unix socket.

One method is enough: what FetchX509SVID sends has the bundles, too, and whoever shakes
hands in both directions needs an identity.

grpcio has threads of its own and blocks; one more thread waits for it here, so that
the event loop does not. It is part of the extra `sidecar[spire]` and imported only
where a Workload API is configured: it costs a process 17 MB (RSS, grpcio 1.85).
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final

import grpc
import trio
from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

METHOD: Final = "/SpiffeWorkloadAPI/FetchX509SVID"

# SPIFFE Workload Endpoint 3: it shows that nobody was tricked into this request.
_METADATA: Final = (("workload.spiffe.io", "true"),)

_OPTIONS: Final = (
    # A certificate is a kilobyte, and a bundle may hold many.
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.enable_http_proxy", 0),
    # Each attempt is one of its own: how long to wait between them is ours to say.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
)

# The first answer comes "as soon as possible, without delay" (SPIFFE Workload API
# 4.3). SPIRE's agent may spend half a minute on finding out who is asking.
_FIRST_ANSWER_SECONDS: Final = 90.0


@frozen
class Ended:
    """Why a stream has ended, in the words of gRPC.

    Attributes:
        code: The name of the status, as in ``PERMISSION_DENIED``.
        details: What the agent said of it; may be empty.
    """

    code: str
    details: str = ""

    def __str__(self) -> str:
        return f"{self.code}: {self.details}" if self.details else self.code


async def listen(address: str, take: Callable[[bytes], Awaitable[object]]) -> Ended:
    """Hand every message of the agent at *address* to *take*, until the stream ends.

    Cancellation:
        The stream ends at once.
    """
    channel: Any = grpc.insecure_channel(address, _OPTIONS)
    call = channel.unary_stream(METHOD)(b"", metadata=_METADATA)
    try:
        with trio.move_on_after(_FIRST_ANSWER_SECONDS) as patience:
            message = await _next(call)
            patience.deadline = inf
            while isinstance(message, bytes):
                await take(message)
                message = await _next(call)
            return message
        return Ended(
            "DEADLINE_EXCEEDED", f"no answer in {_FIRST_ANSWER_SECONDS:g} seconds"
        )
    finally:
        call.cancel()  # the thread that waits returns
        channel.close()


async def _next(call: Any) -> bytes | Ended:
    return await trio.to_thread.run_sync(
        _wait, call, abandon_on_cancel=True, limiter=trio.CapacityLimiter(1)
    )


def _wait(call: Any) -> bytes | Ended:
    try:
        message: bytes = next(call)
    except StopIteration:
        return Ended("OK", "the agent ended the stream")
    except grpc.RpcError as error:
        status: Any = error  # the documented way to the status, and not typed
        return Ended(status.code().name, str(status.details() or ""))
    return message
