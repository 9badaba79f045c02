from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from OpenSSL import SSL

from sidecar.certs.authority import Authority
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.tls.stream import TlsStream, client_stream
from sidecar.tls.web import unverified_client_context, web_server_context

if TYPE_CHECKING:
    from sidecar.identity.svid import Svid

NOW = dt.datetime.now(dt.UTC)
AUTHORITY = Authority.create("example.org", now=NOW)


def svid(authority: Authority = AUTHORITY) -> Svid:
    name = SpiffeId.parse(f"spiffe://{authority.trust_domain}/web")
    return authority.issue(name, now=NOW)


OURS = svid()


async def shaken(client: SSL.Context, server: SSL.Context) -> SSL.Connection:
    """The client's end of a handshake, after the server has taken it."""
    ours, theirs = trio.testing.memory_stream_pair()
    accepted = SSL.Connection(server, None)
    accepted.set_accept_state()
    end = client_stream(ours, client, None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(TlsStream(theirs, accepted).do_handshake)
        nursery.start_soon(end.do_handshake)
    return end._tls


def with_certificate(of: Svid) -> SSL.Context:
    context = unverified_client_context()
    context.use_certificate(of.chain[0])
    context.use_privatekey(of.private_key)
    return context


async def test_a_probe_takes_any_certificate() -> None:
    server = web_server_context(OURS.chain, OURS.private_key)
    client = await shaken(unverified_client_context(), server)
    assert client.get_protocol_version_name() == "TLSv1.3"
    shown = client.get_peer_certificate(as_cryptography=True)
    assert shown == OURS.chain[0]


async def test_the_whole_chain_is_shown() -> None:
    chain = (*OURS.chain, AUTHORITY.root)
    server = web_server_context(chain, OURS.private_key)
    client = await shaken(unverified_client_context(), server)
    assert client.get_peer_cert_chain(as_cryptography=True) == list(chain)


@pytest.mark.parametrize(
    ("version", "name"),
    [(SSL.TLS1_2_VERSION, "TLSv1.2"), (SSL.TLS1_3_VERSION, "TLSv1.3")],
)
async def test_tls_1_2_is_the_oldest_that_is_spoken(version: int, name: str) -> None:
    server = web_server_context(OURS.chain, OURS.private_key)
    context = unverified_client_context()
    context.set_max_proto_version(version)
    client = await shaken(context, server)
    assert client.get_protocol_version_name() == name


async def test_what_is_older_is_refused() -> None:
    server = web_server_context(OURS.chain, OURS.private_key)
    context = unverified_client_context()
    context.set_min_proto_version(SSL.TLS1_1_VERSION)
    context.set_max_proto_version(SSL.TLS1_1_VERSION)
    context.set_cipher_list(b"ALL:@SECLEVEL=0")
    with pytest.raises(ExceptionGroup) as caught:
        await shaken(context, server)
    assert caught.group_contains(trio.BrokenResourceError)


async def test_a_client_of_the_authority_that_is_asked_for_is_let_in() -> None:
    roots = [AUTHORITY.root]
    server = web_server_context(OURS.chain, OURS.private_key, roots)
    client = await shaken(with_certificate(svid()), server)
    assert client.get_protocol_version_name() == "TLSv1.3"


async def test_a_client_of_another_authority_is_not() -> None:
    roots = [AUTHORITY.root]
    server = web_server_context(OURS.chain, OURS.private_key, roots)
    stranger = svid(Authority.create("other.test", now=NOW))
    with pytest.raises(ExceptionGroup) as caught:
        await shaken(with_certificate(stranger), server)
    assert caught.group_contains(trio.BrokenResourceError, match="certificate")
