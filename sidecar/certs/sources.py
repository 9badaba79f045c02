"""Where certificates that are to be shown may be: in a file, or with an agent."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from sidecar.certs.instead import instead
from sidecar.config.section_values import parse_workload_api
from sidecar.identity.jwks import JwksError, JwkSet, looks_like_jwks
from sidecar.identity.reading import SvidError, read_der, read_pem
from sidecar.workload.protobuf import MessageError
from sidecar.workload.response import X509SvidResponse

if TYPE_CHECKING:
    from cryptography import x509

    Certificates = tuple[x509.Certificate, ...]

_SECONDS: Final = 10.0
_LARGEST: Final = 16 * 1024 * 1024  # a hundred times what the web trusts
_SEQUENCE: Final = b"\x30"  # with which DER begins, and no text does


class SourceError(Exception):
    """There is nothing to show; the message says why.

    Attributes:
        passing: Whether it may be there the next time: an agent did not send any.
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


def read_certificates(where: str) -> Certificates:
    """Read what *where* names: PEM, DER, a JWK Set, or ``unix:`` and an agent's socket.

    ``-`` is standard input.

    Raises:
        SourceError: There are none, or they cannot be had.
    """
    if where.startswith("unix:"):
        return _from_agent(where)
    try:
        data = _read(where)
    except OSError as error:
        hint = " (a URL is none)" if "://" in where else ""
        raise SourceError(f"{error.strerror}{hint}") from None
    if len(data) > _LARGEST:
        raise SourceError(f"larger than {_LARGEST // 1024**2} MiB")
    try:
        if looks_like_jwks(data):
            return JwkSet.parse(data).certificates
        return read_der(data) if data[:1] == _SEQUENCE else read_pem(data)
    except JwksError as error:
        raise SourceError(str(error)) from None
    except SvidError:
        what = "expected certificates (PEM, DER or a JWK Set)"
        raise SourceError(f"{what}, got {instead(data)}") from None


def _read(where: str) -> bytes:
    if where == "-":
        return sys.stdin.buffer.read(_LARGEST + 1)
    with open(where, "rb", opener=_open) as file:
        os.set_blocking(file.fileno(), True)
        return file.read(_LARGEST + 1)


def _open(path: str, flags: int) -> int:
    # A FIFO without anybody who writes to it would be waited for; and a pipe of the
    # shell, as in <(...), has somebody.
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _from_agent(address: str) -> Certificates:
    if find_spec("grpc") is None:
        raise SourceError("needs grpcio: pip install 'sidecar[spire]'")
    try:
        parse_workload_api(address)
    except ValueError as error:
        raise SourceError(str(error)) from None
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
