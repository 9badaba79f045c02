"""An agent that speaks the SPIFFE Workload API over a unix socket, by grpcio.

Its messages are compiled from the published proto, so that nothing of ours vouches
for how ours are read.
"""

from __future__ import annotations

import datetime as dt
import queue
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import grpc
from attrs import define, field
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from sidecar.certs.authority import HOUR, Authority
from sidecar.identity.spiffe_id import SpiffeId

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType

    from cryptography import x509

    from sidecar.identity.svid import Svid


def _compiled() -> tuple[Any, Any]:
    folder = str(Path(__file__).parent)
    sys.path.append(folder)  # where grpcio-tools looks for what is to be compiled
    try:
        made: tuple[Any, Any] = grpc.protos_and_services("workloadapi.proto")
    finally:
        sys.path.remove(folder)
    return made


messages, services = _compiled()


def entry(svid: Svid, authority: Authority, hint: str = "", **changes: Any) -> Any:
    """Make the message of one SVID; *changes* replace its fields."""
    fields = {
        "spiffe_id": str(svid.name),
        "x509_svid": der(svid.chain),
        "x509_svid_key": svid.private_key.private_bytes(
            Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
        ),
        "bundle": der([authority.root]),
        "hint": hint,
    }
    return messages.X509SVID(**(fields | changes))


def der(certificates: Iterable[x509.Certificate]) -> bytes:
    return b"".join(each.public_bytes(Encoding.DER) for each in certificates)


def issue(authority: Authority, path: str, lifetime: dt.timedelta = HOUR) -> Svid:
    peer = SpiffeId.parse(f"spiffe://{authority.trust_domain}{path}")
    now = dt.datetime.now(dt.UTC)
    # One that has expired was good for an hour before.
    begin = now + min(lifetime - HOUR, dt.timedelta(0))
    return authority.issue(peer, now=begin, lifetime=now + lifetime - begin)


def response(
    *svids: Any,
    federated: Mapping[str, bytes] | None = None,
    crl: Iterable[bytes] = (),
) -> Any:
    return messages.X509SVIDResponse(
        svids=svids, federated_bundles=federated or {}, crl=crl
    )


@define
class Agent:
    """Serves at `PATH` as long as the `with` block lasts; may be started again.

    Attributes:
        current: what every stream is told first: a response, any bytes, or a status
            to refuse with.
        asked: how often somebody has asked.
    """

    path: Path
    current: Any = None
    asked: int = 0
    streams: list[queue.SimpleQueue[Any]] = field(factory=list)
    _lock: threading.Lock = field(factory=threading.Lock)
    _server: Any = None

    @property
    def address(self) -> str:
        return f"unix://{self.path}"

    def __enter__(self) -> Self:
        self._server = grpc.server(ThreadPoolExecutor(16))
        handler: Any = grpc.unary_stream_rpc_method_handler(
            self._fetch, response_serializer=_serialized
        )
        service = grpc.method_handlers_generic_handler(
            "SpiffeWorkloadAPI", {"FetchX509SVID": handler}
        )
        self._server.add_generic_rpc_handlers((service,))
        self._server.add_insecure_port(self.address)
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tell(grpc.StatusCode.UNAVAILABLE)
        self._server.stop(0).wait()

    def send(self, what: Any) -> None:
        """Tell every stream, those of now and those to come."""
        self.current = what
        self._tell(what)

    def drop(self) -> None:
        """End every stream that is open, in order."""
        self._tell(None)

    def _tell(self, what: Any) -> None:
        with self._lock:
            for each in self.streams:
                each.put(what)

    def _fetch(self, _request: bytes, context: Any) -> Iterator[Any]:
        self.asked += 1
        metadata = dict(context.invocation_metadata())
        if metadata.get("workload.spiffe.io") != "true":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "security header missing")
        news: queue.SimpleQueue[Any] = queue.SimpleQueue()
        with self._lock:
            self.streams.append(news)
            what = self.current
        if not context.add_callback(lambda: self._leave(news)):
            self._leave(news)
        while what is not None:
            if isinstance(what, grpc.StatusCode):
                context.abort(what, f"the test says {what.name.lower()}")
            yield what
            what = news.get()

    def _leave(self, news: queue.SimpleQueue[Any]) -> None:
        with self._lock:
            self.streams.remove(news)
        news.put(None)


def _serialized(what: Any) -> bytes:
    made: bytes = what if isinstance(what, bytes) else what.SerializeToString()
    return made
