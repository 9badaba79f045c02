"""What an agent has taken back ends what was made with it, and nothing else."""

from __future__ import annotations

import itertools
import random
import socket
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import grpc
import pytest
from attrs import frozen
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from tests.integration.callers import name_of, record_of, tcp, wrap
from tests.integration.conftest import FRONTEND, Town, data_port
from tests.integration.test_live_connections import Echo
from tests.integration.test_reload_live import generation
from tests.integration.test_workload_api import has_come_to, leaf_serial
from tests.support.agent import Agent, der, entry, issue, response
from tests.support.deadlines import eventually
from tests.support.pki import new_authority, now, write_svid
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


@frozen
class Sent:
    """What a message says, as far as it decides about our connections."""

    names: frozenset[str]
    bundle: bool
    revoked: frozenset[str]

    @classmethod
    def any(cls, dice: random.Random) -> Self:
        return cls(
            frozenset(dice.choice([("api",), ("pays",), ("api", "pays")])),
            dice.random() < 0.6,
            frozenset(who for who in ("ours", "theirs") if dice.random() < 0.3),
        )

    def lets(self, name: str, who: str) -> bool:
        trusted = who == "ours" or self.bundle
        return name in self.names and trusted and who not in self.revoked


@pytest.mark.parametrize("seed", [1, 2])
def test_who_lives_is_exactly_who_the_last_message_lets_in(
    town: Town, agent: Agent, seed: int
) -> None:
    dice = random.Random(seed)
    partner = new_authority("partner.test")
    foreign = write_svid(town.folder, partner, "/ns/shop/sa/frontend", name="foreign")
    callers = {"ours": town.svid(FRONTEND), "theirs": foreign}
    authorities = {"ours": town.authority, "theirs": partner}
    pairs = list(itertools.product(("api", "pays"), callers))

    def message(sent: Sent) -> Any:
        # A hint may go while its name stays, and another SVID may come first.
        hints = {"api": ["in", "in", "renamed"], "pays": ["pays", "pays", "renamed"]}
        svids = [
            own(town.authority, f"/{name}", dice.choice(hints[name]))
            for name in sorted(sent.names)
        ]
        svids.insert(dice.randrange(len(svids) + 1), own(town.authority, "/x", "x"))
        crls = [
            authorities[who].crl(
                [leaf_serial(callers[who].certificate_chain)], now=now()
            )
            for who in sorted(sent.revoked)
        ]
        empty = dice.choice([{}, {"spiffe://partner.test": b""}])
        bundles = {"spiffe://partner.test": der([partner.root])}
        return response(
            *svids,
            federated=bundles if sent.bundle else empty,
            crl=[each.public_bytes(Encoding.DER) for each in crls],
        )

    agent.current = response(
        own(town.authority, "/api", "in"), own(town.authority, "/pays", "pays")
    )
    with (
        Echo(2) as echo,
        sidecar_of(
            town, agent, *echo.ports, hint="in", additional={"pays": {"hint": "pays"}}
        ) as sidecar,
        ExitStack() as calls,
    ):
        listeners = sidecar.configuration["inbound"]["listeners"]
        ports = [int(each["listen"].rpartition(":")[2]) for each in listeners]
        at = dict(zip(("api", "pays"), ports, strict=True))
        live: dict[tuple[str, str], Call] = {}
        for step in range(2, 12):
            sent = Sent.any(dice)
            agent.send(message(sent))
            has_come = f"message {step} is taken up: {sent}"
            eventually(partial(has_come_to, sidecar, step), has_come)
            for name, who in pairs:
                call = live.get((name, who))
                if not sent.lets(name, who):
                    if call is not None:
                        live.pop((name, who)).ended(sidecar)
                    with pytest.raises((SSL.Error, ConnectionError)):
                        Call.begin(calls, at[name], callers[who])
                elif call is not None:
                    call.goes_on()
                else:
                    live[name, who] = Call.begin(calls, at[name], callers[who])
        for call in live.values():
            call.goes_on()


def ended(sidecar: Sidecar) -> Record | None:
    records = sidecar.access_records()
    return records[-1] if records else None
