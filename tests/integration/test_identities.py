"""One sidecar with two identities: by port, and by route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from OpenSSL import SSL

from tests.integration.callers import (
    ANSWER,
    REQUEST,
    ask,
    tcp,
    wrap,
)
from tests.integration.conftest import (
    API,
    FRONTEND,
    Application,
    Town,
    read_to_end,
    serving,
)
from tests.integration.test_reload_live import failures, generation
from tests.support.agent import Agent, entry, issue, response
from tests.support.deadlines import eventually
from tests.support.pki import identity
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.pki import Pair
    from tests.support.sidecars import Sidecar

BILLING = "spiffe://example.org/ns/shop/sa/billing"
METRIC = "sidecar_additional_svid_expiry_timestamp_seconds"


@pytest.fixture
def second() -> Iterator[Application]:
    with serving() as application:
        yield application


def two_ports(
    town: Town, first: Application, second: Application, source: dict[str, Any]
) -> Sidecar:
    """Make a sidecar before two applications; the second one is billing."""
    listeners = [
        {"listen": f"127.0.0.1:{free_port()}", "destination": f"127.0.0.1:{app.port}"}
        for app in (first, second)
    ]
    rule = {"name": "frontend", "action": "allow", "peers": [FRONTEND]}
    return town.server(
        first.port,
        identity=source,
        inbound={"listeners": listeners, "ports": {second.port: {"identity": "pays"}}},
        policy={"default": "deny", "rules": [rule]},
    )


def files(town: Town) -> dict[str, Any]:
    billing = town.svid(BILLING)
    names = {
        "certificate_chain": str(billing.certificate_chain),
        "private_key": str(billing.private_key),
    }
    return {
        **identity(town.folder, API, town.authority),
        "additional": {"pays": names},
    }


def ports_of(sidecar: Sidecar) -> list[int]:
    listeners = sidecar.configuration["inbound"]["listeners"]
    return [int(each["listen"].rpartition(":")[2]) for each in listeners]


def shown(port: int, own: Pair) -> x509.Certificate:
    with tcp(port) as sock:
        certificate = wrap(sock, own).get_peer_certificate(as_cryptography=True)
    assert certificate is not None
    return certificate


def name(certificate: x509.Certificate) -> str:
    (uri,) = certificate.extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    ).value.get_values_for_type(x509.UniformResourceIdentifier)
    return str(uri)


def test_two_ports_answer_with_two_names_and_rotate_apart(
    town: Town, application: Application, second: Application
) -> None:
    own = town.svid(FRONTEND)
    with two_ports(town, application, second, files(town)) as sidecar:
        ports = ports_of(sidecar)
        before = [shown(port, own) for port in ports]
        assert [name(each) for each in before] == [API, BILLING]
        assert [ask(port, own).endswith(ANSWER) for port in ports] == [True, True]
        ends = before[1].not_valid_after_utc.timestamp()
        assert sidecar.metrics().sum(METRIC, identity="pays") == ends

        town.svid(BILLING)
        eventually(lambda: generation(sidecar, "identity") == 2, "it is taken up")
        after = [shown(port, own) for port in ports]
        assert (after[0] == before[0], after[1] == before[1]) == (True, False)

        (town.folder / "billing.key").unlink()
        eventually(lambda: failures(sidecar, "identity"), "a broken one is refused")
        assert "identity.additional.pays.private_key" in sidecar.get("/readyz")[1]
        assert [shown(port, own) for port in ports] == after


def test_an_identity_is_added_and_taken_away_while_it_runs(
    town: Town, application: Application, second: Application
) -> None:
    own = town.svid(FRONTEND)
    with two_ports(town, application, second, files(town)) as sidecar:
        ports = ports_of(sidecar)
        with_two = sidecar.configuration
        inbound = {**with_two["inbound"], "ports": {}}
        source = {**with_two["identity"], "additional": {}}
        broken = {**with_two, "identity": source}
        sidecar.write_configuration(broken)
        status, body = sidecar.post("/reload")
        assert (status, "expected a name in identity.additional" in body) == (422, True)
        sidecar.write_configuration({**broken, "inbound": inbound})
        assert sidecar.post("/reload") == (200, "reloaded\n")
        assert [name(shown(port, own)) for port in ports] == [API, API]
        with pytest.raises(KeyError):
            sidecar.metrics().sum(METRIC)
        sidecar.write_configuration(with_two)
        assert sidecar.post("/reload") == (200, "reloaded\n")
        assert [name(shown(port, own)) for port in ports] == [API, BILLING]


def test_svids_of_an_agent_are_told_apart_by_their_hints(
    town: Town, application: Application, second: Application
) -> None:
    own = town.svid(FRONTEND)

    def sent(*hints: str) -> Any:
        paths = {"": "/ns/shop/sa/api", "money": "/ns/shop/sa/billing"}
        return response(
            *(
                entry(issue(town.authority, paths[hint]), town.authority, hint)
                for hint in hints
            )
        )

    with Agent(town.folder / "agent.sock", sent("", "money")) as agent:
        source = {
            "workload_api": agent.address,
            "additional": {"pays": {"hint": "money"}},
        }
        with two_ports(town, application, second, source) as sidecar:
            ports = ports_of(sidecar)
            before = [shown(port, own) for port in ports]
            assert [name(each) for each in before] == [API, BILLING]
            agent.send(sent(""))
            eventually(lambda: generation(sidecar, "identity") == 2, "it is taken up")
            after = shown(ports[0], own)
            assert (name(after), after == before[0]) == (API, False)
            with pytest.raises((SSL.Error, ConnectionError)):
                shown(ports[1], own)
            eventually(lambda: sidecar.get("/readyz")[0] == 503, "it is missed")
            said = sidecar.get("/readyz")[1]
            assert f"identity 'pays': {BILLING} was taken from us" in said
            assert "warning: identity: identity.additional.pays.hint: " in said
            agent.send(sent("", "money"))
            eventually(lambda: sidecar.get("/readyz") == (200, "ready\n"), "it is back")
            assert [name(shown(port, own)) for port in ports] == [API, BILLING]


def test_a_route_may_call_under_another_name(
    town: Town, application: Application
) -> None:
    rule = {"name": "billing", "action": "allow", "peers": [BILLING]}
    policy = {"default": "deny", "rules": [rule]}
    ports = [free_port(), free_port()]
    listeners = [
        {
            "listen": f"127.0.0.1:{port}",
            "destination": f"127.0.0.1:{application.port}",
        }
        for port in ports
    ]
    inbound = {"listeners": listeners}
    with town.server(application.port, policy=policy, inbound=inbound) as server:
        goals = [f"127.0.0.1:{port}" for port in ports]
        doors = [free_port(), free_port()]
        routes = [
            {
                "name": f"route-{port}",
                "to": ["127.0.0.1"],
                "ports": [port],
                "peers": [API],
                **({"identity": "pays"} if port == ports[1] else {}),
            }
            for port in ports
        ]
        outbound = {
            "listeners": [
                {"listen": f"127.0.0.1:{door}", "destination": goal}
                for door, goal in zip(doors, goals, strict=True)
            ],
            "routes": routes,
        }
        source = {**files(town), **identity(town.folder, FRONTEND, town.authority)}
        with town.client(ports[0], identity=source, outbound=outbound) as calling:
            assert [answers(door) for door in doors] == [False, True]
            shown = [each["identity"] for each in calling.wait_for_records(2)]
        seen = server.wait_for_records(2)
        assert [each["peer"] for each in seen] == shown == [FRONTEND, BILLING]
        assert [each["identity"] for each in seen] == [API, API]


def answers(port: int) -> bool:
    with tcp(port) as sock:
        sock.sendall(REQUEST)
        try:
            return read_to_end(sock).endswith(ANSWER)
        except ConnectionResetError:
            return False
