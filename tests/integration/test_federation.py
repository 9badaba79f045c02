"""Two trust domains that trust each other, and stay two."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from sidecar.certs.authority import Authority
from tests.integration.callers import ANSWER, ask
from tests.integration.conftest import API, FRONTEND, Application, Town, data_port
from tests.integration.test_reload_live import failures, generation
from tests.integration.test_workload_api import last_failure, refused
from tests.support.agent import Agent, der, entry, issue, response
from tests.support.deadlines import eventually
from tests.support.pki import identity, new_authority, write_svid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.pki import Pair
    from tests.support.sidecars import Sidecar

PARTNER = "spiffe://partner.test/ns/shop/sa/frontend"
POLICY = {
    "default": "deny",
    "rules": [{"name": "both", "action": "allow", "peers": [FRONTEND, PARTNER]}],
}


def jwks(*authorities: Authority, **more: Any) -> str:
    keys = [
        {
            "kty": "EC",
            "use": "x509-svid",
            "x5c": [base64.b64encode(each.root.public_bytes(Encoding.DER)).decode()],
        }
        for each in authorities
    ]
    keys.append({"kty": "EC", "use": "jwt-svid", "kid": "1"})
    return json.dumps({"keys": keys, **more})


def replace(path: Path, text: str) -> None:
    fresh = path.with_name("fresh")
    fresh.write_text(text)
    fresh.replace(path)


@pytest.fixture
def partner() -> Authority:
    return new_authority("partner.test")


@pytest.fixture
def forged(town: Town, partner: Authority) -> Pair:
    """A name of our domain, signed by the CA of our partner's."""
    impostor = Authority("example.org", partner.path, partner.private_key)
    return write_svid(town.folder, impostor, FRONTEND, name="forged")


@pytest.fixture
def foreign(town: Town, partner: Authority) -> Pair:
    return write_svid(town.folder, partner, PARTNER, name="foreign")


def by_pem(town: Town, partner: Authority, application: Application) -> Sidecar:
    source = identity(town.folder, API, town.authority, partner)
    return town.server(application.port, identity=source, policy=POLICY)


def by_jwks(town: Town, partner: Authority, application: Application) -> Sidecar:
    source = identity(town.folder, API, town.authority)
    path = town.folder / "partner.json"
    path.write_text(jwks(partner, spiffe_sequence=7, spiffe_refresh_hint=300))
    source["trust_bundles"]["partner.test"] = str(path)
    return town.server(application.port, identity=source, policy=POLICY)


@pytest.fixture
def agent(town: Town, partner: Authority) -> Iterator[Agent]:
    svid = issue(town.authority, "/ns/shop/sa/api")
    bundles = {"spiffe://partner.test": der([partner.root])}
    current = response(entry(svid, town.authority), federated=bundles)
    with Agent(town.folder / "agent.sock", current) as agent:
        yield agent


@pytest.mark.parametrize("source", ["pem", "jwks", "agent"])
def test_nobody_signs_for_another_trust_domain(
    town: Town,
    application: Application,
    partner: Authority,
    agent: Agent,
    forged: Pair,
    foreign: Pair,
    source: str,
) -> None:
    own = town.svid(FRONTEND)
    if source == "agent":
        where = {"workload_api": agent.address}
        sidecar = town.server(application.port, identity=where, policy=POLICY)
    else:
        make = by_pem if source == "pem" else by_jwks
        sidecar = make(town, partner, application)
    with sidecar:
        port = data_port(sidecar)
        assert ask(port, own).endswith(ANSWER)
        assert ask(port, foreign).endswith(ANSWER)
        assert refused(port, forged)
        assert last_failure(sidecar)["reason"] == "untrusted_chain"


def test_a_jwk_set_is_reloaded_and_never_goes_back(
    town: Town, application: Application, partner: Authority, foreign: Pair
) -> None:
    heir = new_authority("partner.test")
    later = write_svid(town.folder, heir, PARTNER, name="later")
    path = town.folder / "partner.json"
    with by_jwks(town, partner, application) as sidecar:
        port = data_port(sidecar)
        assert not refused(port, foreign)
        assert refused(port, later)
        replace(path, jwks(partner, heir, spiffe_sequence=8))
        eventually(lambda: generation(sidecar, "identity") == 2, "it is taken up")
        assert not refused(port, later)
        replace(path, jwks(partner, spiffe_sequence=7))
        eventually(lambda: failures(sidecar, "identity"), "the old one is refused")
        assert "must not go back, got 7 after 8" in sidecar.get("/readyz")[1]
        assert not refused(port, later)
        replace(path, jwks(spiffe_sequence=9))
        eventually(lambda: generation(sidecar, "identity") == 3, "nothing is trusted")
        assert refused(port, foreign)
        assert last_failure(sidecar)["reason"] == "untrusted_chain"
        assert sidecar.get("/readyz") == (200, "ready\n")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{}", "must have keys, an empty list where nothing is trusted"),
        ('{"keys": [], "keys": []}', "each key must be there once"),
        ("{", "must be JSON, got something else"),
    ],
)
def test_a_broken_jwk_set_leaves_the_last_good_one(
    town: Town,
    application: Application,
    partner: Authority,
    foreign: Pair,
    text: str,
    why: str,
) -> None:
    with by_jwks(town, partner, application) as sidecar:
        replace(town.folder / "partner.json", text)
        eventually(lambda: failures(sidecar, "identity"), "it is refused")
        assert why in sidecar.get("/readyz")[1]
        assert not refused(data_port(sidecar), foreign)
