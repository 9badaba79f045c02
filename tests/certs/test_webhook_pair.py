from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from sidecar.certs.webhook_pair import SETTLED, WebhookPair, with_older

NOW = datetime(2026, 5, 1, tzinfo=UTC)
DAY = timedelta(days=1)
NAMES = ("webhook.mesh.svc", "webhook.mesh.svc.cluster.local")


def make(now: datetime = NOW, days: int = 90) -> WebhookPair:
    return WebhookPair.make(NAMES, now, days * DAY)


def verify(pair: WebhookPair, name: str, now: datetime = NOW) -> None:
    store = Store(x509.load_pem_x509_certificates(pair.ca))
    verifier = (
        PolicyBuilder().store(store).time(now).build_server_verifier(x509.DNSName(name))
    )
    verifier.verify(x509.load_pem_x509_certificate(pair.certificate), [])


@pytest.mark.parametrize("name", NAMES)
def test_whoever_trusts_its_ca_takes_it_for_the_webhook(name: str) -> None:
    verify(make(), name)
    with pytest.raises(VerificationError):
        verify(make(), "other.mesh.svc")


def test_it_signs_nothing_and_claims_no_identity_of_the_mesh() -> None:
    pair = make()
    leaf = x509.load_pem_x509_certificate(pair.certificate)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == []
    basic = leaf.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not basic.ca
    ca = x509.load_pem_x509_certificate(pair.ca)
    assert (
        ca.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
        == 0
    )


def test_its_key_is_not_shown() -> None:
    assert "PRIVATE" not in repr(make())


def test_a_new_one_is_good_until_a_third_of_its_life_is_left() -> None:
    pair = make(days=90)
    assert pair.fault(NAMES, NOW) is None
    assert pair.fault(NAMES, NOW + 59 * DAY) is None
    assert pair.fault(NAMES, NOW + 61 * DAY) == "it ends at 2026-07-30 00:00 UTC"


@pytest.mark.parametrize(
    "change",
    [
        {"certificate": b""},
        {
            "certificate": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        },
        {"private_key": b"x"},
        {"ca": b""},
        {"ca": make().ca},
    ],
)
def test_what_cannot_be_used_is_replaced(change: Any) -> None:
    fault = evolve(make(), **change).fault(NAMES, NOW)
    assert fault is not None
    assert fault.startswith("what is there cannot be used")


def test_a_key_of_another_is_replaced() -> None:
    pair = evolve(make(), private_key=make().private_key)
    assert pair.fault(NAMES, NOW) == "its key belongs to another"


def test_a_certificate_for_another_name_is_replaced() -> None:
    assert make().fault(("x.mesh.svc", *NAMES), NOW) == "it does not name x.mesh.svc"


def test_it_is_settled_when_every_pod_must_have_it() -> None:
    pair = make()
    assert not pair.is_settled(NOW + SETTLED / 2)
    assert pair.is_settled(NOW + SETTLED + timedelta(minutes=5))


def test_the_new_ca_stands_before_the_old_ones_that_are_still_good() -> None:
    old, older, gone = make(), make(), make(NOW - 100 * DAY)
    new = make()
    bundle = with_older(new.ca, old.ca + gone.ca + older.ca, NOW)
    assert bundle == new.ca + old.ca + older.ca
    assert with_older(new.ca, bundle, NOW) == bundle
    assert with_older(new.ca, b"nothing", NOW) == new.ca


def test_a_bundle_does_not_grow_for_ever() -> None:
    bundle = b""
    for _ in range(5):
        bundle = with_older(make().ca, bundle, NOW)
    assert bundle.count(b"BEGIN CERTIFICATE") == 3
