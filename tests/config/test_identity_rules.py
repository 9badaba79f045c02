from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from sidecar.config.identity_rules import (
    check_additional,
    check_inbound_identities,
    check_outbound_identities,
    check_source,
)
from sidecar.config.model import (
    AdditionalIdentity,
    Config,
    Identity,
    Inbound,
    Outbound,
    PortSettings,
    Route,
)
from sidecar.config.place import written

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.config.place import Finding

FILE = Path("file")
FILES = Identity(FILE, FILE, {"example.org": FILE})
AGENT = Identity(workload_api="unix:///s")
PAIR = AdditionalIdentity(FILE, FILE)
HINT = AdditionalIdentity(hint="b")


def lines(findings: Iterable[Finding]) -> list[str]:
    return [f"{written(each.place)}: {each.what}" for each in findings]


def additional(identity: Identity, each: AdditionalIdentity) -> list[str]:
    config = Config(evolve(identity, additional={"billing": each}))
    return [line.split(": ")[0] for line in lines(check_additional(config))]


@pytest.mark.parametrize("identity", [FILES, AGENT, Identity(private_key=FILE)])
def test_one_source_is_enough(identity: Identity) -> None:
    assert lines(check_source(Config(identity))) == []


def test_without_a_source_there_is_no_certificate() -> None:
    (line,) = lines(check_source(Config(Identity(crl=FILE))))
    assert line.startswith("identity: names no certificate: certificate_chain, ")


def test_every_identity_has_the_source_of_the_first() -> None:
    assert additional(FILES, PAIR) == additional(AGENT, HINT) == []
    place = "identity.additional.billing."
    assert additional(FILES, HINT) == [
        f"{place}hint",
        f"{place}certificate_chain",
        f"{place}private_key",
    ]
    assert additional(AGENT, PAIR) == [
        f"{place}certificate_chain",
        f"{place}private_key",
        f"{place}hint",
    ]
    assert additional(FILES, AdditionalIdentity(FILE)) == [f"{place}private_key"]


def test_ports_and_routes_name_identities_that_there_are() -> None:
    def config(name: str | None) -> Config:
        return Config(
            evolve(AGENT, additional={"billing": HINT}),
            Inbound(ports={8081: PortSettings(identity=name)}),
            Outbound(routes=(Route("a", ("x",), identity=name),)),
        )

    for known in (None, "billing"):
        assert lines(check_inbound_identities(config(known))) == []
        assert lines(check_outbound_identities(config(known))) == []
    unknown = config("biling")
    what = (
        "expected a name in identity.additional, got 'biling' (did you mean 'billing'?)"
    )
    assert lines(check_inbound_identities(unknown)) == [
        f"inbound.ports.8081.identity: {what}"
    ]
    assert lines(check_outbound_identities(unknown)) == [
        f"outbound.routes[0].identity: {what}"
    ]
