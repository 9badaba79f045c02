from __future__ import annotations

import ast
import gc
import inspect
from typing import TYPE_CHECKING

import pytest
from attrs import define, field
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from OpenSSL._util import ffi, lib

from sidecar.certs import blueprint
from sidecar.certs.authority import new_key
from sidecar.config.model import Tls
from sidecar.tls import openssl_binding
from sidecar.tls.openssl_binding import (
    V_EXPIRED,
    V_INVALID_PURPOSE,
    V_OK,
    V_REJECTED,
    WANT_READ,
    Buffer,
    SSL_do_handshake,
    SSL_get_error,
    SSL_write,
    bios,
    prepare,
    read_from,
    read_from_memory,
    resumed,
    set_judge,
    swap_bios,
    take_error,
    verify_error_text,
    waiting,
)
from tests.tls.peers import (
    ALERT,
    API,
    CART,
    DONE,
    HOUR,
    NOW,
    End,
    client,
    client_of,
    converse,
    credentials,
    expecting,
    issue,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.certs.authority import Authority
    from sidecar.identity.svid import Svid
    from sidecar.tls.credentials import Credentials

_MOVING_WRITE_BUFFER = 0x2
_NO_AUTO_CHAIN = 0x8
_PARTIAL_WRITE = 0x1
_RECORD = 16384


def _ders(svid: Svid) -> tuple[bytes, ...]:
    return tuple(each.public_bytes(Encoding.DER) for each in svid.chain)


@define
class Recorder:
    """A judge that writes down what it is asked and answers as told."""

    answer: Callable[[], int] = lambda: V_OK
    overlook: bool = False
    asked: list[object] = field(factory=list)
    accepted: bool = False

    def verdict(self, chain: tuple[bytes, ...]) -> int:
        self.asked.append(chain)
        code = self.answer()
        self.accepted = code == V_OK
        return code

    def fault(self, code: int, depth: int) -> int:
        self.asked.append((code, depth))
        return V_OK if self.overlook else code


def judging(svid: Svid, judge: Recorder, *, required: bool = True) -> SSL.Connection:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate(svid.leaf)
    context.use_privatekey(svid.private_key)
    set_judge(context, required=required)
    connection = SSL.Connection(context, None)
    connection.set_app_data(judge)
    connection.set_accept_state()
    return connection


# --- what is private to pyOpenSSL


def test_every_name_of_the_binding_that_is_used_exists() -> None:
    tree = ast.parse(inspect.getsource(openssl_binding))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "lib"
    }
    assert len(used) > 20
    assert used <= set(dir(lib))


def test_a_connection_in_memory_has_an_ssl_and_two_bios() -> None:
    connection = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
    ssl, into, out = bios(connection)
    assert [ffi.typeof(each).cname for each in (ssl, into, out)] == [
        "SSL *",
        "BIO *",
        "BIO *",
    ]
    connection.bio_write(b"four")
    assert (waiting(into), waiting(out)) == (4, 0)


def test_new_bios_hold_what_was_not_read_yet_and_are_the_callers() -> None:
    connection = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
    old = bios(connection)
    connection.bio_write(b"four")
    ssl, into, out = swap_bios(connection)
    assert ssl == old[0]
    assert into not in old
    assert out not in old
    assert (waiting(into), waiting(out)) == (4, 0)
    for use in (lambda: connection.bio_write(b"x"), lambda: connection.bio_read(1)):
        with pytest.raises(TypeError):
            use()


def test_a_bio_over_a_buffer_ends_without_ending_the_stream() -> None:
    connection = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
    connection.set_accept_state()
    ssl, _, out = swap_bios(connection)
    buffer = Buffer(8)
    buffer.view[:5] = b"\x16\x03\x01\x00\x40"  # of a record, the header alone
    into = read_from(ssl, out, buffer.pointer, 5)
    assert waiting(into) == 5
    assert SSL_get_error(ssl, SSL_do_handshake(ssl)) == WANT_READ
    assert waiting(into) == 0
    assert waiting(read_from_memory(ssl, out)) == 0


def test_a_connection_is_found_by_its_ssl_for_as_long_as_it_lives() -> None:
    connection = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
    ssl, *_ = bios(connection)
    known = SSL.Connection._reverse_mapping
    assert known[ffi.cast("void *", ssl)] is connection  # as callbacks look it up
    address = int(ffi.cast("intptr_t", ssl))
    del connection, ssl, _
    gc.collect()
    assert ffi.cast("SSL *", address) not in known


def test_a_context_in_use_may_not_change() -> None:
    context = SSL.Context(SSL.TLS_METHOD)
    assert ffi.typeof(context._context).cname == "SSL_CTX *"
    SSL.Connection(context, None)
    with pytest.raises(ValueError, match="Context has already been used"):
        prepare(context, ())


# --- buffers and writes


def test_a_buffer_is_one_memory_under_two_names() -> None:
    buffer = Buffer(8)
    buffer.view[:3] = b"abc"
    assert ffi.buffer(buffer.pointer, 3)[:] == b"abc"
    ffi.buffer(buffer.pointer, 8)[3:6] = b"def"
    assert bytes(buffer.view[:6]) == b"abcdef"
    assert buffer.size == len(buffer.view) == 8


def test_one_write_makes_all_the_records_of_a_buffer(
    authority: Authority, cart: Svid
) -> None:
    ours, _ = credentials(authority).accept()
    _, server = converse(client_of(cart), ours)
    server.take()
    buffer = Buffer(8 * _RECORD)
    ssl, *_ = bios(ours)
    assert SSL_write(ssl, buffer.pointer, buffer.size) == buffer.size
    assert _record_count(server.take()) == 8


def _record_count(data: bytes) -> int:
    count = 0
    while data:
        count += 1
        data = data[5 + int.from_bytes(data[3:5], "big") :]
    return count


def test_no_buffers_are_kept_no_chain_is_built_and_writes_are_whole() -> None:
    context = SSL.Context(SSL.TLS_METHOD)
    assert context.set_mode(0) & _PARTIAL_WRITE  # which is pyOpenSSL's choice
    prepare(context, ())
    mode = context.set_mode(0)
    assert mode & SSL.MODE_RELEASE_BUFFERS
    assert mode & _MOVING_WRITE_BUFFER
    assert mode & _NO_AUTO_CHAIN
    assert not mode & _PARTIAL_WRITE


# --- errors


def test_without_an_error_there_is_no_reason() -> None:
    lib.ERR_clear_error()
    assert take_error() == (0, "no reason given")


def test_the_first_error_is_taken_and_the_queue_left_empty() -> None:
    lib.ERR_put_error(lib.ERR_LIB_EVP, 0, 100, b"a.c", 1)
    lib.ERR_put_error(lib.ERR_LIB_EVP, 0, 101, b"a.c", 2)
    code, text = take_error()
    assert code == 100
    assert text
    assert take_error()[0] == 0


def test_an_error_without_a_text_gives_its_number() -> None:
    lib.ERR_clear_error()
    lib.ERR_put_error(lib.ERR_LIB_EVP, 0, 4000, b"a.c", 1)
    code, text = take_error()
    assert code == 4000
    assert text.startswith("error 0x")


def test_an_alert_of_the_peer_is_1000_and_its_number(
    authority: Authority, ours: Credentials
) -> None:
    expired = issue(authority, now=NOW - 2 * HOUR)
    server, _ = ours.accept()
    theirs, _ = converse(client_of(expired), server)
    assert theirs.outcomes == [DONE, ALERT + 45]  # certificate_expired


def test_verification_errors_have_words() -> None:
    assert verify_error_text(V_EXPIRED) == "certificate has expired"


# --- groups


@pytest.mark.parametrize("group", ["X25519MLKEM768", "X25519", "P-256", "P-384"])
def test_the_groups_that_were_asked_for_are_used(
    authority: Authority, cart: Svid, group: str
) -> None:
    ours, _ = credentials(authority, tls=Tls(groups=(group,))).accept()
    converse(client_of(cart), ours)
    name = ours.get_group_name()
    assert name is not None
    assert name.lower().replace("-", "") in {
        group.lower().replace("-", ""),
        {"P-256": "secp256r1", "P-384": "secp384r1"}.get(group),
    }


def test_two_of_us_agree_on_the_first_group(authority: Authority) -> None:
    ours, _ = credentials(authority).accept()
    theirs, _ = credentials(authority).connect(expecting(API), None)
    converse(theirs, ours)
    assert ours.get_group_name() == "X25519MLKEM768"


@pytest.mark.parametrize(
    ("groups", "named"),
    [
        (["bogus"], "bogus"),
        (["X25519", "bogus", "worse"], "bogus"),
        (["schlüssel"], "schlüssel"),
        (["X25519:P-256", "bogus"], "bogus"),
    ],
)
def test_an_unknown_group_is_named(groups: list[str], named: str) -> None:
    with pytest.raises(ValueError, match=f"^{named}$"):
        prepare(SSL.Context(SSL.TLS_METHOD), groups)
    assert take_error()[0] == 0


# --- the judge


def test_the_judge_sees_the_chain_leaf_first_whatever_the_order_shown(
    authority: Authority, api: Svid
) -> None:
    lower = authority.intermediate(now=NOW).intermediate(now=NOW)
    cart = issue(lower)
    leaf, first, second = cart.chain
    judge = Recorder()
    theirs, ours = converse(
        client([leaf, second, first], cart.private_key), judging(api, judge)
    )
    assert judge.asked == [_ders(cart)]
    assert (theirs.outcome, ours.outcome) == (DONE, DONE)


def test_the_judge_is_asked_before_any_signature_is_looked_at(
    authority: Authority, api: Svid
) -> None:
    # Nobody signed any of these: their issuers' keys are others.
    cart = issue(authority.intermediate(now=NOW).intermediate(now=NOW))
    impostor = issue(authority.intermediate(now=NOW).intermediate(now=NOW))
    chain = [cart.leaf, *impostor.chain[1:]]
    judge = Recorder(answer=lambda: V_REJECTED)
    converse(client(chain, cart.private_key), judging(api, judge))
    (asked,) = judge.asked
    assert isinstance(asked, tuple)
    assert asked[0] == _ders(cart)[0]


@pytest.mark.parametrize("overlook", [False, True])
def test_what_openssl_finds_after_the_verdict_is_put_to_the_judge(
    authority: Authority, api: Svid, overlook: bool
) -> None:
    signer = authority.intermediate(now=NOW)
    key = new_key()
    plan = blueprint.leaf(CART, key.public_key(), now=NOW, lifetime=HOUR)
    forged = (plan.sign(new_key(), signer.certificate), signer.certificate)
    judge = Recorder(overlook=overlook)
    _, ours = converse(client(forged, key), judging(api, judge))
    chain = tuple(each.public_bytes(Encoding.DER) for each in forged)
    assert judge.asked == [chain, (lib.X509_V_ERR_CERT_SIGNATURE_FAILURE, 0)]
    assert (ours.outcome == DONE) == overlook


@pytest.mark.parametrize("code", [V_REJECTED, V_INVALID_PURPOSE])
def test_the_judge_s_error_becomes_the_alert(api: Svid, cart: Svid, code: int) -> None:
    judge = Recorder(answer=lambda: code)
    theirs, ours = converse(client_of(cart), judging(api, judge))
    expected = {V_REJECTED: 42, V_INVALID_PURPOSE: 43}[code]
    assert theirs.outcome == ALERT + expected
    assert ours.outcome != DONE
    assert len(judge.asked) == 1


def test_a_judge_that_raises_refuses_and_is_logged(
    api: Svid, cart: Svid, caplog: pytest.LogCaptureFixture
) -> None:
    def bug() -> int:
        raise RuntimeError("a bug")

    theirs, ours = converse(client_of(cart), judging(api, Recorder(answer=bug)))
    assert ours.outcome != DONE
    assert isinstance(theirs.outcome, int)
    assert theirs.outcome > ALERT
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "a bug" in str(record.exc_info[1])


def test_a_connection_without_a_judge_refuses(
    api: Svid, cart: Svid, caplog: pytest.LogCaptureFixture
) -> None:
    ours = judging(api, Recorder())
    ours.set_app_data(None)
    _, server = converse(client_of(cart), ours)
    assert server.outcome != DONE
    assert caplog.records


def test_errors_that_judging_leaves_behind_are_nobody_s(api: Svid, cart: Svid) -> None:
    def careless() -> int:
        lib.ERR_put_error(lib.ERR_LIB_EVP, 0, 100, b"a.c", 1)
        return V_OK

    judge = Recorder(answer=careless)
    theirs, ours = End(client_of(cart)), End(judging(api, judge))
    theirs.step()
    ours.give(theirs.take())
    ours.step()
    theirs.give(ours.take())
    theirs.step()
    # Up to OpenSSL 3 one that is left would turn the wait for more into a failure.
    ours.give(theirs.take()[:-1])
    ours.step()
    assert judge.accepted
    assert lib.ERR_peek_error() == 0


def test_without_a_certificate_nobody_is_asked(api: Svid) -> None:
    judge = Recorder()
    theirs, ours = converse(client(), judging(api, judge))
    assert theirs.outcome == ALERT + 116  # certificate_required
    assert ours.outcome != DONE
    lenient = Recorder()
    theirs, ours = converse(client(), judging(api, lenient, required=False))
    assert (theirs.outcome, ours.outcome) == (DONE, DONE)
    assert judge.asked == lenient.asked == []


# --- the rest


def test_a_full_handshake_resumes_nothing(cart: Svid, ours: Credentials) -> None:
    server, _ = ours.accept()
    assert not resumed(server)
    converse(client_of(cart), server)
    assert not resumed(server)
