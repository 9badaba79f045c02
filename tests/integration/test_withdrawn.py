"""What an agent has taken back ends what was made with it, and nothing else."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import grpc
import pytest
from attrs import frozen
from OpenSSL import SSL

from tests.integration.callers import name_of, record_of, tcp, wrap
from tests.integration.conftest import FRONTEND, Town, data_port
from tests.integration.test_reload_live import generation
from tests.support.agent import Agent, der, entry, issue, response
from tests.support.deadlines import eventually
from tests.support.pki import new_authority, write_svid
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.certs.authority import Authority
    from tests.support.pki import Pair
    from tests.support.sidecars import Record, Sidecar

PARTNER = "spiffe://partner.test/ns/shop/sa/frontend"


@pytest.fixture
def agent(tmp_path: Any) -> Iterator[Agent]:
    with Agent(tmp_path / "agent.sock") as agent:
        yield agent


@frozen
class Call:
    """A connection that is open, with an application that echoes at its end."""

    sock: socket.socket
    tls: SSL.Connection
    name: str

    @classmethod
    def begin(cls, stack: ExitStack, port: int, own: Pair) -> Self:
        sock = stack.enter_context(tcp(port))
        call = cls(sock, wrap(sock, own), name_of(sock))
        call.goes_on()
        return call

    def goes_on(self) -> None:
        self.tls.sendall(b"hello")
        assert self.tls.recv(5) == b"hello"

    def ended(self, sidecar: Sidecar) -> Record:
        """Wait for its end, which is a reset; the sidecar's word for it is given."""
        with pytest.raises((SSL.Error, ConnectionError)):
            self.tls.recv(1)
        return record_of(sidecar, self.name)


def own(authority: Authority, path: str, hint: str = "") -> Any:
    return entry(issue(authority, path), authority, hint)


def sidecar_of(town: Town, agent: Agent, echo: int, *more: int, **source: Any) -> Any:
    """Make one that lets both frontends in to *echo*; at *more*, it is billing."""
    listeners = [
        {"listen": f"127.0.0.1:{free_port()}", "destination": f"127.0.0.1:{port}"}
        for port in (echo, *more)
    ]
    rule = {"name": "both", "action": "allow", "peers": [FRONTEND, PARTNER]}
    return town.server(
        echo,
        identity={"workload_api": agent.address, **source},
        inbound={
            "listeners": listeners,
            "ports": {port: {"identity": "pays"} for port in more},
        },
        policy={"default": "deny", "rules": [rule]},
    )


def counted(sidecar: Sidecar, outcome: str) -> float:
    return sidecar.metrics().sum("sidecar_connections_total", outcome=outcome)


@pytest.mark.parametrize("left", ["absent", "empty"])
def test_a_bundle_that_is_withdrawn_ends_those_for_whom_it_vouched(
    town: Town, agent: Agent, echo: int, left: str
) -> None:
    partner = new_authority("partner.test")
    foreign = write_svid(town.folder, partner, "/ns/shop/sa/frontend", name="foreign")
    ours, domain = own(town.authority, "/api"), "spiffe://partner.test"
    agent.current = response(ours, federated={domain: der([partner.root])})
    with sidecar_of(town, agent, echo) as sidecar, ExitStack() as calls:
        port = data_port(sidecar)
        stays = Call.begin(calls, port, town.svid(FRONTEND))
        goes = [Call.begin(calls, port, foreign) for _ in range(3)]
        agent.send(response(ours, federated={domain: b""} if left == "empty" else {}))
        records = [each.ended(sidecar) for each in goes]
        ends = {
            "absent": ("bundle_withdrawn", "unknown_trust_domain"),
            "empty": ("peer_untrusted", "untrusted_chain"),
        }
        said = {(each["outcome"], each["reason"]) for each in records}
        assert said == {ends[left]}
        assert counted(sidecar, ends[left][0]) == len(goes)
        stays.goes_on()


def test_an_svid_that_is_withdrawn_ends_those_to_whom_it_was_shown(
    town: Town, agent: Agent, echo: int
) -> None:
    """One that is only renewed ends nothing."""
    api, billing = own(town.authority, "/api"), own(town.authority, "/pays", "pays")
    agent.current = response(api, billing)
    additional = {"pays": {"hint": "pays"}}
    with (
        socket.create_server(("127.0.0.1", 0)) as second,
        sidecar_of(
            town, agent, echo, second.getsockname()[1], additional=additional
        ) as sidecar,
        ExitStack() as calls,
    ):
        frontend, port = town.svid(FRONTEND), data_port(sidecar)
        listeners = sidecar.configuration["inbound"]["listeners"]
        at = int(listeners[1]["listen"].rpartition(":")[2])
        stays = Call.begin(calls, port, frontend)
        sock = calls.enter_context(tcp(at))
        goes = Call(sock, wrap(sock, frontend), name_of(sock))
        calls.enter_context(second.accept()[0])
        agent.send(response(own(town.authority, "/api"), billing))
        eventually(lambda: generation(sidecar, "identity") == 2, "one is renewed")
        agent.send(response(api))
        record = goes.ended(sidecar)
        assert record["outcome"] == "identity_withdrawn"
        assert record["reason"] == "no_identity"
        assert record["detail"].startswith("spiffe://example.org/pays, which we were")
        assert counted(sidecar, "identity_withdrawn") == 1
        stays.goes_on()


def test_what_is_open_outlives_an_agent_and_a_refusal_but_not_one_for_good(
    town: Town, agent: Agent, echo: int
) -> None:
    frontend = town.svid(FRONTEND)
    agent.current = kept = response(own(town.authority, "/api"))
    with sidecar_of(town, agent, echo) as sidecar, ExitStack() as calls:
        call = Call.begin(calls, data_port(sidecar), frontend)

        def readyz(text: str, what: str) -> None:
            eventually(lambda: text in sidecar.get("/readyz")[1], what, 40)

        agent.__exit__(None, None, None)
        readyz("warning: workload_api", "the agent is away")
        call.goes_on()
        # It has come back, and does not know yet who we are.
        agent.current = grpc.StatusCode.PERMISSION_DENIED
        agent.__enter__()
        readyz("PERMISSION_DENIED", "it is asked again")
        call.goes_on()
        agent.current = kept
        eventually(lambda: sidecar.get("/readyz")[0] == 200, "it knows us", 40)
        call.goes_on()
        agent.send(response())  # of no use, and so no word about what we are
        readyz("at least one SVID", "a message is refused")
        call.goes_on()
        agent.send(grpc.StatusCode.PERMISSION_DENIED)
        call.goes_on()
        record = eventually(lambda: ended(sidecar), "it means it", 60)
        assert record["source"] == call.name
        assert record["outcome"] == "identity_withdrawn"
        call.ended(sidecar)


def ended(sidecar: Sidecar) -> Record | None:
    records = sidecar.access_records()
    return records[-1] if records else None
