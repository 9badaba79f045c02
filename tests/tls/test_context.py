from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from OpenSSL import SSL
from OpenSSL._util import lib

from sidecar.certs.authority import Authority
from sidecar.config.model import Tls
from sidecar.tls.context import ALPN, SSL_VERSION, client_context, server_context
from sidecar.tls.credentials import Credentials
from sidecar.tls.openssl_binding import SSL_write, bios
from tests.tls.peers import (
    ALERT,
    API,
    CART,
    DONE,
    NOW,
    client,
    client_of,
    context,
    converse,
    credentials,
    expecting,
    issue,
    material,
    server_of,
)

if TYPE_CHECKING:
    from sidecar.identity.svid import Svid

TLS12 = SSL.TLS1_2_VERSION
DOWN_TO_12 = Tls(minimum_version="1.2")

GOOD_12 = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
]
BAD_12 = {
    "no forward secrecy": "AES128-GCM-SHA256",
    "no aead": "ECDHE-ECDSA-AES128-SHA256",
    "sha-1": "ECDHE-ECDSA-AES128-SHA",
    "finite field": "DHE-RSA-AES128-GCM-SHA256",
    "nobody": "AECDH-AES128-SHA",
    "no encryption": "ECDHE-ECDSA-NULL-SHA",
}


def of_version_12(svid: Svid, cipher: str) -> SSL.Connection:
    made = context(SSL.TLS_CLIENT_METHOD, svid.chain, svid.private_key, version=TLS12)
    made.set_cipher_list(f"{cipher}:@SECLEVEL=0".encode())
    connection = SSL.Connection(made, None)
    connection.set_connect_state()
    return connection


def test_the_library_says_its_version() -> None:
    assert SSL_VERSION.startswith("OpenSSL ")


def test_the_protocol_has_its_name() -> None:
    assert ALPN == b"sidecar-mtls/1"  # public: other releases look for it


# --- versions and ciphers


def test_of_itself_it_speaks_tls_1_3_only(ours: Credentials, cart: Svid) -> None:
    server, _ = ours.accept()
    theirs, end = converse(client_of(cart, version=TLS12), server)
    assert theirs.outcome == ALERT + 70  # protocol_version
    assert end.outcome != DONE


def test_a_server_of_tls_1_2_is_refused(ours: Credentials, api: Svid) -> None:
    client, _ = ours.connect(expecting("spiffe://example.org/**"), None)
    end, theirs = converse(client, server_of(api, version=TLS12))
    assert end.outcome != DONE
    assert theirs.outcome != DONE


@pytest.mark.parametrize("cipher", GOOD_12)
def test_down_to_1_2_it_takes_ciphers_with_forward_secrecy_and_aead(
    authority: Authority, cart: Svid, cipher: str
) -> None:
    server, check = credentials(authority, tls=DOWN_TO_12).accept()
    theirs, _ = converse(of_version_12(cart, cipher), server)
    assert theirs.outcomes == [DONE]
    assert server.get_protocol_version_name() == "TLSv1.2"
    assert server.get_cipher_name() == cipher
    assert check.peer == cart.name


@pytest.mark.parametrize("cipher", BAD_12.values(), ids=BAD_12)
def test_down_to_1_2_it_takes_no_other_cipher(
    authority: Authority, cart: Svid, cipher: str
) -> None:
    server, check = credentials(authority, tls=DOWN_TO_12).accept()
    theirs, end = converse(of_version_12(cart, cipher), server)
    assert theirs.outcome == ALERT + 40  # handshake_failure
    assert end.outcome != DONE
    assert check.peer is None


def test_no_cipher_without_a_certificate_is_on_the_list(ours: Credentials) -> None:
    server, _ = ours.accept()
    for name in server.get_cipher_list():
        assert name.startswith(("TLS_", "ECDHE-ECDSA-", "ECDHE-RSA-"))
        assert "GCM" in name or "POLY1305" in name


def test_down_to_1_2_two_of_us_still_agree_on_1_3(authority: Authority) -> None:
    ours = credentials(authority, tls=DOWN_TO_12)
    server, _ = ours.accept()
    client, _ = ours.connect(expecting("spiffe://example.org/**"), None)
    ends = converse(client, server)
    assert [end.outcomes for end in ends] == [[DONE], [DONE]]
    assert server.get_protocol_version_name() == "TLSv1.3"


@pytest.mark.parametrize(
    ("theirs", "agreed"),
    [
        ("AES_256_GCM_SHA384 AES_128_GCM_SHA256", "AES_128_GCM_SHA256"),
        ("AES_256_GCM_SHA384 CHACHA20_POLY1305_SHA256", "AES_256_GCM_SHA384"),
        ("CHACHA20_POLY1305_SHA256 AES_128_GCM_SHA256", "CHACHA20_POLY1305_SHA256"),
    ],
    ids=["aes-128 before aes-256", "aes-256 before chacha20", "chacha20 if they begin"],
)
def test_of_what_both_know_the_server_chooses(
    ours: Credentials, cart: Svid, theirs: str, agreed: str
) -> None:
    server, _ = ours.accept()
    made = context(SSL.TLS_CLIENT_METHOD, cart.chain, cart.private_key)
    names = ":".join(f"TLS_{each}" for each in theirs.split())
    made.set_tls13_ciphersuites(names.encode())
    client = SSL.Connection(made, None)
    client.set_connect_state()
    ends = converse(client, server)
    assert [end.outcomes for end in ends] == [[DONE], [DONE]]
    assert server.get_cipher_name() == f"TLS_{agreed}"


def test_down_to_1_2_the_server_chooses_too(authority: Authority, cart: Svid) -> None:
    server, _ = credentials(authority, tls=DOWN_TO_12).accept()
    client = of_version_12(cart, ":".join(reversed(GOOD_12[:2])))
    theirs, _ = converse(client, server)
    assert theirs.outcomes == [DONE]
    assert server.get_cipher_name() == GOOD_12[0]


UNKNOWN_GROUP = Tls(groups=("X25519", "X448000"))


def test_a_server_names_a_group_that_openssl_does_not_know(api: Svid) -> None:
    with pytest.raises(ValueError, match=r"^X448000$"):
        server_context(api, UNKNOWN_GROUP, certificate_required=True)


def test_a_client_names_a_group_that_openssl_does_not_know(api: Svid) -> None:
    with pytest.raises(ValueError, match=r"^X448000$"):
        client_context(api, UNKNOWN_GROUP)


# --- what is switched off


def test_a_peer_of_tls_1_2_cannot_renegotiate(authority: Authority, cart: Svid) -> None:
    server, _ = credentials(authority, tls=DOWN_TO_12).accept()
    client = client_of(cart, version=TLS12)
    theirs, end = converse(client, server)
    client.renegotiate()
    with pytest.raises(SSL.WantReadError):
        client.do_handshake()
    end.give(theirs.take())
    end.step()
    theirs.give(end.take())
    with pytest.raises(SSL.Error):
        client.do_handshake()
    assert server.total_renegotiations() == 0


def test_we_do_not_renegotiate_for_a_server_of_tls_1_2(
    authority: Authority, api: Svid
) -> None:
    ours = credentials(authority, tls=DOWN_TO_12)
    client, _ = ours.connect(expecting("spiffe://example.org/**"), None)
    server = server_of(api, version=TLS12)
    end, theirs = converse(client, server)
    assert end.outcomes == [DONE]
    server.renegotiate()
    server.do_handshake()  # sends a HelloRequest
    end.give(theirs.take())
    end.step()
    theirs.give(end.take())
    theirs.step()
    assert theirs.outcome == 339  # SSL_R_NO_RENEGOTIATION: the alert came
    assert client.total_renegotiations() == 0


def test_nothing_is_compressed(ours: Credentials) -> None:
    server, _ = ours.accept()
    client, _ = ours.connect(expecting(API), None)
    assert server.set_options(0) & client.set_options(0) & SSL.OP_NO_COMPRESSION


def test_early_data_is_offered_to_nobody(ours: Credentials, cart: Svid) -> None:
    server, _ = ours.accept()
    keeping = client_of(cart)
    converse(keeping, server)
    session = keeping.get_session()
    assert session is not None
    assert lib.SSL_SESSION_get_max_early_data(session._session) == 0


# --- certificates


@pytest.mark.parametrize("rooted", [False, True])
def test_our_chain_is_shown_as_it_was_given(authority: Authority, rooted: bool) -> None:
    api = issue(authority.intermediate(now=NOW).intermediate(now=NOW), API)
    if rooted:
        api = evolve(api, chain=(*api.chain, authority.root))
    ours = Credentials(material(api, authority.bundle), Tls())
    at_server, _ = ours.accept()
    at_client, _ = ours.connect(expecting(CART), None)
    client = client_of(issue(authority))
    server = server_of(issue(authority))
    converse(client, at_server)
    converse(at_client, server)
    assert client.get_peer_cert_chain(as_cryptography=True) == [*api.chain]
    # Without the leaf, as OpenSSL has it on this side.
    assert server.get_peer_cert_chain(as_cryptography=True) == [*api.chain[1:]]


@pytest.mark.parametrize("version", [None, TLS12])
def test_a_client_without_a_certificate_is_told_so(
    authority: Authority, version: int | None
) -> None:

    server, check = credentials(authority, tls=DOWN_TO_12).accept()
    theirs, end = converse(client(version=version), server)
    # In TLS 1.2 there is no alert of its own (RFC 5246, 7.4.6).
    assert theirs.outcome == ALERT + (116 if version is None else 40)
    assert end.outcome == 199
    assert (check.peer, check.refusal) == (None, None)


@pytest.mark.parametrize("version", [None, TLS12])
def test_where_none_is_required_a_client_may_come_without(
    authority: Authority, version: int | None
) -> None:

    ours = credentials(authority, tls=DOWN_TO_12)
    server, check = ours.accept(certificate_required=False)
    theirs, _ = converse(client(version=version), server)
    assert theirs.outcomes == [DONE]
    assert check.peer is None


def test_where_none_is_required_a_bad_one_is_refused_all_the_same(
    ours: Credentials,
) -> None:

    impostor = Authority.create("example.org", now=NOW)
    server, check = ours.accept(certificate_required=False)
    theirs, end = converse(client_of(issue(impostor)), server)
    assert theirs.outcome == ALERT + 48
    assert end.outcome != DONE
    assert check.refusal is not None


# --- ALPN


@pytest.mark.parametrize(
    ("offered", "selected"),
    [
        ([], b""),
        ([ALPN], ALPN),
        ([b"h2", ALPN], ALPN),
        ([b"h2", b"http/1.1"], b""),
        ([b"sidecar-mtls/2"], b""),
    ],
)
def test_our_protocol_is_selected_and_others_are_ignored(
    ours: Credentials, cart: Svid, offered: list[bytes], selected: bytes
) -> None:
    server, _ = ours.accept()
    theirs, _ = converse(client_of(cart, alpn=offered), server)
    assert theirs.outcomes == [DONE]
    assert server.get_alpn_proto_negotiated() == selected


def test_a_context_writes_whole_buffers(ours: Credentials, cart: Svid) -> None:
    server, _ = ours.accept()
    converse(client_of(cart), server)
    data = bytes(200_000)
    assert SSL_write(bios(server)[0], data, len(data)) == len(data)
