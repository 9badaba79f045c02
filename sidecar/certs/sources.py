"""Where certificates that are to be shown may be: in a file, or with an agent."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from sidecar.identity.jwks import JwksError, JwkSet, looks_like_jwks
from sidecar.identity.reading import SvidError, read_der, read_pem
from sidecar.workload.protobuf import MessageError
from sidecar.workload.response import X509SvidResponse

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography import x509

    Certificates = tuple[x509.Certificate, ...]

_SECONDS: Final = 10.0
_PEM: Final = b"-----BEGIN"
_SEQUENCE: Final = b"\x30"  # with which DER begins, and no text does


class SourceError(Exception):
    """There is nothing to show; the message says why.

    Attributes:
        passing: Whether it may be there the next time: an agent did not send any.
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


def read_certificates(where: Path) -> Certificates:
    """Read what *where* names: PEM, DER, a JWK Set, or ``unix:`` and an agent's socket.

    Raises:
        SourceError: There are none, or they cannot be had.
    """
    if str(where).startswith("unix:"):
        return _from_agent(str(where))
    try:
        data = where.read_bytes()
        if looks_like_jwks(data):
            return JwkSet.parse(data).certificates
        return read_der(data) if data[:1] == _SEQUENCE else read_pem(data)
    except OSError as error:
        raise SourceError(str(error.strerror)) from None
    except (SvidError, JwksError) as error:
        raise SourceError(str(error)) from None


def _from_agent(address: str) -> Certificates:
    if find_spec("grpc") is None:
        raise SourceError("needs grpcio: pip install 'sidecar[spire]'")
    # Not at the top: it costs, and only this needs it.
    import trio  # noqa: PLC0415

    message = trio.run(_first_message, address)  # noqa: TID251 - a command
    try:
        response = X509SvidResponse.parse(message)
        sent = [each.chain for each in response.svids]
        bundles = {each.bundle: None for each in response.svids}
        bundles |= dict.fromkeys(response.federated_bundles.values())
        return tuple(one for der in (*sent, *bundles) for one in read_der(der))
    except (MessageError, SvidError) as error:
        raise SourceError(f"not an answer: {error}") from None


async def _first_message(address: str) -> bytes:
    import trio  # noqa: PLC0415

    from sidecar.workload.stream import listen  # noqa: PLC0415

    found: list[bytes] = []
    with trio.move_on_after(_SECONDS) as scope:

        async def take(message: bytes) -> None:
            found.append(message)
            scope.cancel()
            await trio.lowlevel.checkpoint()

        ended = await listen(address, take)
        raise SourceError(str(ended), passing=True)
    if not found:
        raise SourceError(f"no answer in {_SECONDS:g} seconds", passing=True)
    return found[0]
