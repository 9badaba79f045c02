"""The calls into OpenSSL that pyOpenSSL does not offer, or offers too slowly.

This is the only module that knows the binding under pyOpenSSL
(``OpenSSL._util``) and the private names of its `SSL.Connection`. What it needs:

- `SSL_read` and `SSL_write` into buffers that live as long as the process.
  `Connection.recv` and `send` allocate and copy for each record.
- The certificates of a peer *inside* the handshake, and a verdict on them that
  becomes the right alert. pyOpenSSL's callback gives one certificate at a time and
  no way to set the error.
- The numbers of errors: their texts change with OpenSSL's releases.

`tests/tls/test_openssl_binding.py` fails loudly when a new pyOpenSSL changes any.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, Protocol

from OpenSSL import SSL
from OpenSSL._util import ffi, lib

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

_LOG = logging.getLogger(__name__)

WANT_READ: Final[int] = lib.SSL_ERROR_WANT_READ
ZERO_RETURN: Final[int] = lib.SSL_ERROR_ZERO_RETURN

# A write may go on from a buffer that moved; what we send is our chain as given, not
# one that OpenSSL completes; no record buffers are kept while idle: they are half of
# what an idle connection costs. (ssl.h: ACCEPT_MOVING_WRITE_BUFFER, NO_AUTO_CHAIN)
_MODES: Final = 0x2 | 0x8 | SSL.MODE_RELEASE_BUFFERS
# pyOpenSSL sets it; without, one SSL_write makes all the records of a buffer.
_PARTIAL_WRITE: Final = 0x1

# Codes of X509_verify_cert (x509_vfy.h). OpenSSL derives the alert from them.
V_OK: Final = 0
V_NOT_YET_VALID: Final[int] = lib.X509_V_ERR_CERT_NOT_YET_VALID
V_EXPIRED: Final[int] = lib.X509_V_ERR_CERT_HAS_EXPIRED
V_REVOKED: Final[int] = lib.X509_V_ERR_CERT_REVOKED
V_REJECTED: Final[int] = lib.X509_V_ERR_CERT_REJECTED
V_NO_ISSUER: Final[int] = lib.X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
V_HOSTNAME_MISMATCH: Final[int] = lib.X509_V_ERR_HOSTNAME_MISMATCH
V_INVALID_PURPOSE: Final[int] = lib.X509_V_ERR_INVALID_PURPOSE
V_NO_LIST: Final[int] = lib.X509_V_ERR_UNABLE_TO_GET_CRL
V_WEAK_DIGEST: Final = 68  # X509_V_ERR_CA_MD_TOO_WEAK, which cryptography leaves out
# No fault, or one that a chain without any trusted root is bound to have.
_ROOTLESS: Final = frozenset(
    {
        V_OK,
        lib.X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT,
        lib.X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
        lib.X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
        lib.X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
        lib.X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,
        lib.X509_V_ERR_CERT_UNTRUSTED,
    }
)

# Straight from the library: these run for every burst of bytes of every connection.
SSL_read: Final[Callable[[Any, Any, int], int]] = lib.SSL_read
SSL_write: Final[Callable[[Any, Any, int], int]] = lib.SSL_write
SSL_shutdown: Final[Callable[[Any], int]] = lib.SSL_shutdown
SSL_get_error: Final[Callable[[Any, int], int]] = lib.SSL_get_error
SSL_do_handshake: Final[Callable[[Any], int]] = lib.SSL_do_handshake
BIO_read: Final[Callable[[Any, Any, int], int]] = lib.BIO_read
BIO_write: Final[Callable[[Any, Any, int], int]] = lib.BIO_write
ERR_clear_error: Final[Callable[[], None]] = lib.ERR_clear_error
_BIO_get_mem_data: Final[Callable[[Any, Any], int]] = lib.BIO_get_mem_data
_BIO_new_mem_buf: Final[Callable[[Any, int], Any]] = lib.BIO_new_mem_buf
_BIO_set_mem_eof_return: Final[Callable[[Any, int], Any]] = lib.BIO_set_mem_eof_return
_SSL_set_bio: Final[Callable[[Any, Any, Any], None]] = lib.SSL_set_bio
_NULL: Final = ffi.NULL


class Buffer:
    """Memory that both the kernel (`view`) and OpenSSL (`pointer`) write to."""

    __slots__ = ("pointer", "size", "view")

    def __init__(self, size: int) -> None:
        memory = bytearray(size)
        self.size = size
        self.view = memoryview(memory)
        self.pointer = ffi.from_buffer("char[]", memory)


def waiting(bio: Any) -> int:
    """Count the bytes in a memory BIO."""
    return _BIO_get_mem_data(bio, _NULL)


def bios(connection: SSL.Connection) -> tuple[Any, Any, Any]:
    """Give the SSL of *connection*, the BIO into it and the BIO out of it.

    They live as long as *connection* does: keep it.
    """
    raw: Any = connection
    return raw._ssl, raw._into_ssl, raw._from_ssl  # noqa: SLF001


def swap_bios(connection: SSL.Connection) -> tuple[Any, Any, Any]:
    """Give *connection* new memory BIOs after its handshake; give what `bios` gives.

    A memory BIO never shrinks, and the old ones have held the largest flight of the
    handshake: some KiB that every idle connection would keep. What they still have
    moves on. From now on the BIOs are the caller's to know, and pyOpenSSL's
    `bio_read` and `bio_write` raise TypeError.
    """
    raw: Any = connection
    ssl, *old = bios(connection)
    into, out = map(_successor, old)
    _SSL_set_bio(ssl, into, out)  # which frees the old
    raw._into_ssl = raw._from_ssl = None  # noqa: SLF001 - so that nobody uses them
    return ssl, into, out


def _successor(bio: Any) -> Any:
    new = lib.BIO_new(lib.BIO_s_mem())
    size = waiting(bio)
    if size:
        rest = ffi.new("char[]", size)
        BIO_write(new, rest, BIO_read(bio, rest, size))
    return new


def read_from(ssl: Any, out: Any, pointer: Any, size: int) -> Any:
    """Have *ssl* read *size* bytes at *pointer*, without a copy; give their BIO.

    They must stay there until all of them are read. *out* stays as it was.
    """
    into = _BIO_new_mem_buf(pointer, size)
    _BIO_set_mem_eof_return(into, -1)  # their end is not the end of the stream
    _SSL_set_bio(ssl, into, out)  # which frees the BIO that was there
    return into


def read_from_memory(ssl: Any, out: Any) -> Any:
    """Have *ssl* read from a memory BIO again, after `read_from`; give it."""
    into = lib.BIO_new(lib.BIO_s_mem())
    _SSL_set_bio(ssl, into, out)
    return into


def resumed(connection: SSL.Connection) -> bool:
    """Tell whether the handshake resumed an earlier session."""
    return bool(lib.SSL_session_reused(bios(connection)[0]))


def shown_leaf(connection: SSL.Connection) -> bytes | None:
    """Give the DER of the peer's certificate, which a resumed session keeps."""
    certificate = lib.SSL_get_peer_certificate(bios(connection)[0])
    if certificate == _NULL:
        return None
    try:
        return _der(certificate)
    finally:
        lib.X509_free(certificate)


def take_error() -> tuple[int, str]:
    """Empty OpenSSL's error queue; give the first error's number and text.

    The number is the reason code of the library that failed: for an alert from the
    peer it is 1000 and the alert's number (ssl.h, SSL_AD_REASON_OFFSET).
    """
    code = lib.ERR_get_error()
    if not code:
        return 0, "no reason given"
    text = lib.ERR_reason_error_string(code)
    ERR_clear_error()
    return lib.ERR_GET_REASON(code), _text(text) or f"error {code:#x}"


def verify_error_text(code: int) -> str:
    """Give OpenSSL's words for a code of X509_verify_cert."""
    return _text(lib.X509_verify_cert_error_string(code))


def _text(chars: Any) -> str:
    return ffi.string(chars).decode("ascii", "replace") if chars else ""


def prepare(context: SSL.Context, groups: Sequence[str]) -> None:
    """Set what pyOpenSSL has no call for: modes and key exchange groups.

    Raises:
        ValueError: OpenSSL does not know one of the groups; it names the first.
    """
    context.set_mode(_MODES)
    context.clear_mode(_PARTIAL_WRITE)
    if groups and not _set_groups(context, groups):
        unknown = (name for name in groups if not _is_group(name))
        raise ValueError(next(unknown, ":".join(groups)))


def _is_group(name: str) -> bool:
    return _set_groups(SSL.Context(SSL.TLS_METHOD), [name])


def _set_groups(context: SSL.Context, groups: Sequence[str]) -> bool:
    raw: Any = context
    names = ":".join(groups).encode()
    done = lib.SSL_CTX_set1_curves_list(raw._context, names)  # noqa: SLF001
    ERR_clear_error()
    return bool(done)


class Judge(Protocol):
    """Decides on a peer's certificates while the handshake waits."""

    @property
    def accepted(self) -> bool:
        """Whether the verdict has been given, and was to accept."""

    def verdict(self, chain: tuple[bytes, ...]) -> int:
        """Judge the chain (DER, leaf first); give 0 to accept, or an error."""

    def fault(self, code: int, depth: int) -> int:
        """Take an error that OpenSSL found; give 0 to overlook it, or the error."""


def set_judge(context: SSL.Context, *, required: bool) -> None:
    """Ask for a certificate, and let the `Judge` of each connection decide on it.

    A connection's judge is its `set_app_data`. *required* refuses a peer without a
    certificate, with the alert certificate_required (RFC 8446, 6.2).
    """
    mode = SSL.VERIFY_PEER | (SSL.VERIFY_FAIL_IF_NO_PEER_CERT if required else 0)
    context.set_verify(mode)
    raw: Any = context
    lib.SSL_CTX_set_verify(raw._context, mode, _on_certificate)  # noqa: SLF001


def _judge_of(store: Any) -> Judge:
    ssl = lib.X509_STORE_CTX_get_ex_data(
        store, lib.SSL_get_ex_data_X509_STORE_CTX_idx()
    )
    connection = SSL.Connection._reverse_mapping[ssl]  # noqa: SLF001
    judge: Judge = connection.get_app_data()
    return judge


def _report(
    kind: type[BaseException], error: BaseException, trace: TracebackType
) -> None:
    _LOG.error("a peer was refused by a bug", exc_info=(kind, error, trace))


# OpenSSL calls this for each error that it finds and, once it has walked the chain,
# for each certificate, the leaf last (SSL_CTX_set_verify(3)). That no root is known
# comes before any signature is looked at: judged there, a stranger's chain costs
# nothing more. An exception in here makes cffi return the error value 0: refused.
@ffi.callback(  # type: ignore[untyped-decorator]
    "int (*)(int, X509_STORE_CTX *)", error=0, onerror=_report
)
def _on_certificate(ok: int, store: Any) -> int:
    depth = lib.X509_STORE_CTX_get_error_depth(store)
    found = V_OK if ok else lib.X509_STORE_CTX_get_error(store)
    judge = _judge_of(store)
    if found not in _ROOTLESS:
        code = judge.fault(found, depth)
    elif judge.accepted or (ok and depth):
        code = V_OK
    else:
        code = judge.verdict(_chain(store))
    # Up to OpenSSL 3, what judging left behind is taken for an error of the handshake.
    ERR_clear_error()
    lib.X509_STORE_CTX_set_error(store, code)
    return int(code == V_OK)


def _chain(store: Any) -> tuple[bytes, ...]:
    """Give the DER of the chain that OpenSSL has put together."""
    stack = lib.X509_STORE_CTX_get1_chain(store)
    chain = []
    for i in range(lib.sk_X509_num(stack)):
        certificate = lib.sk_X509_value(stack, i)
        chain.append(_der(certificate))
        lib.X509_free(certificate)
    lib.sk_X509_free(stack)
    return tuple(chain)


def _der(certificate: Any) -> bytes:
    bio = lib.BIO_new(lib.BIO_s_mem())
    try:
        lib.i2d_X509_bio(bio, certificate)
        data = ffi.new("char **")
        size = _BIO_get_mem_data(bio, data)
        return bytes(ffi.buffer(data[0], size))
    finally:
        lib.BIO_free(bio)
