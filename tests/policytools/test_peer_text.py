from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, strategies as st

from sidecar.identity.names import CertificateNames
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policytools.peer_text import PeerTextError, parse_peer
from tests.policytools.books import CART


def refused(*texts: str, trust_domain: str | None = None) -> str:
    with pytest.raises(PeerTextError) as raised:
        parse_peer(texts, trust_domain)
    return str(raised.value)


def test_a_spiffe_id_is_a_workload() -> None:
    assert parse_peer([CART]) == SpiffeId.parse(CART)


@pytest.mark.parametrize("path", ["ns/shop/sa/cart", "/ns/shop/sa/cart"])
def test_a_path_takes_the_trust_domain_beside_it(path: str) -> None:
    assert parse_peer([path], "example.org") == SpiffeId.parse(CART)
    assert parse_peer([CART], "other.test") == SpiffeId.parse(CART)


def test_unauthenticated_is_nobody() -> None:
    assert parse_peer(["unauthenticated"]) is None


def test_names_of_one_certificate_are_one_peer() -> None:
    found = parse_peer(["dns:A.test", "subject:OU=web,O=Acme", "dns:b.test"])
    subject = (("O", "Acme"), ("OU", "web"))
    assert found == CertificateNames(frozenset({"a.test", "b.test"}), subject)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["spiffe://example.org/**"], "one workload connects at a time"),
        (["spiffe://example.org"], "must have a path after the trust domain"),
        (["ns/shop"], "write 'spiffe://TRUST-DOMAIN/ns/shop' or name that beside it"),
        (["spifee://example.org/a"], "did you mean 'spiffe://example.org/a'?"),
        (["dns:*.a.test"], "one certificate is shown at a time"),
        (["subject:CN"], "a subject is written ATTRIBUTE=VALUE"),
        (["dns:a.test", "unauthenticated"], "'unauthenticated' stands alone"),
        (["dns:a.test", CART], "a certificate with a SPIFFE ID is known by nothing"),
    ],
)
def test_what_names_no_peer_is_told_the_rule(texts: list[str], said: str) -> None:
    assert said in refused(*texts)


@given(st.lists(st.text(), min_size=1, max_size=3), st.none() | st.text())
def test_no_text_causes_another_error(texts: list[str], domain: str | None) -> None:
    with contextlib.suppress(PeerTextError):
        parse_peer(texts, domain)


@given(st.text(alphabet="ns/a-:*.", max_size=9), st.sampled_from(["a.test", "", "A"]))
def test_no_path_causes_another_error(text: str, domain: str) -> None:
    with contextlib.suppress(PeerTextError):
        assert parse_peer([f"spiffe://{text}"], domain)
