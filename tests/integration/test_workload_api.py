"""Identities that an agent sends over a unix socket, to sidecars that run."""

from __future__ import annotations

import datetime as dt
import json
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificates
from OpenSSL import SSL

from tests.integration.callers import (
    ANSWER,
    REQUEST,
    ask,
    name_of,
    record_of,
    tcp,
    wrap,
)
from tests.integration.conftest import (
    API,
    FRONTEND,
    Application,
    Town,
    data_port,
    read_to_end,
)
from tests.integration.test_reload_live import failures, generation
from tests.support.agent import Agent, der, entry, issue, response
from tests.support.deadlines import eventually
from tests.support.pki import new_authority, write_svid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.pki import Pair
    from tests.support.sidecars import Record, Sidecar

HOUR = dt.timedelta(hours=1)
PATH = "/ns/shop/sa/api"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    with Agent(tmp_path / "agent.sock") as agent:
        yield agent


def server(town: Town, application: Application, agent: Agent, **more: Any) -> Sidecar:
    source = {"workload_api": agent.address, **more.pop("identity", {})}
    return town.server(application.port, identity=source, **more)


def api(town: Town, lifetime: dt.timedelta = HOUR, **more: Any) -> Any:
    svid = issue(town.authority, PATH, lifetime)
    return response(entry(svid, town.authority), **more)


def says(sidecar: Sidecar, text: str) -> bool:
    return text in sidecar.get("/readyz")[1]


def refused(port: int, own: Pair) -> bool:
    try:
        ask(port, own)
    except (SSL.Error, ConnectionError):
        return True
    return False


def last_failure(sidecar: Sidecar) -> Record:
    """Give the record of the last call, which failed."""

    def found() -> Record | None:
        records = sidecar.access_records()[-1:]
        return records[0] if records and records[0]["outcome"] != "completed" else None

    return eventually(found, "a failure is the last that was recorded")


def test_an_svid_of_the_agent_serves_and_is_rotated(
    town: Town, application: Application, agent: Agent
) -> None:
    own = town.svid(FRONTEND)
    agent.current = api(town)
    with server(town, application, agent) as sidecar:
        port = data_port(sidecar)
        assert ask(port, own).endswith(ANSWER)
        before = shown(port, own)
        assert generation(sidecar, "identity") == 1
        agent.send(api(town))
        eventually(lambda: generation(sidecar, "identity") == 2, "it is taken up")
        assert shown(port, own) != before
        assert ask(port, own).endswith(ANSWER)
        agent.send(agent.current)  # the same again is no change
        agent.send(api(town))
        eventually(lambda: generation(sidecar, "identity") == 3, "it is taken up")
        assert failures(sidecar, "identity") == 0
        assert sidecar.stop(5) == 0


def shown(port: int, own: Pair) -> int:
    with tcp(port) as sock:
        certificate = wrap(sock, own).get_peer_certificate(as_cryptography=True)
    assert certificate is not None
    return certificate.serial_number


def test_no_handshake_fails_while_the_agent_rotates(
    town: Town, application: Application, agent: Agent
) -> None:
    agent.current = api(town)
    frontend = Agent(town.folder / "other.sock")

    def call(port: int) -> bool:
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(REQUEST)
            return read_to_end(sock).endswith(ANSWER)

    def rotate() -> None:
        svid = issue(town.authority, "/ns/shop/sa/frontend")
        frontend.send(response(entry(svid, town.authority)))
        agent.send(api(town))

    with frontend, server(town, application, agent) as inbound:
        rotate()
        source = {"workload_api": frontend.address}
        with (
            town.client(data_port(inbound), identity=source) as outbound,
            ThreadPoolExecutor(6) as callers,
        ):
            calls = callers.map(call, [data_port(outbound)] * 300)
            for step in range(2, 12):
                rotate()
                what = f"generation {step} is taken up"
                eventually(partial(has_come_to, outbound, step), what)
            assert all(calls)
            for sidecar in (inbound, outbound):
                failed = sidecar.metrics().sum(
                    "sidecar_handshakes_total", result="failed"
                )
                assert failed == 0
                for line in sidecar.errors().splitlines():
                    assert json.loads(line)["level"] == "info"


def has_come_to(sidecar: Sidecar, number: int) -> bool:
    return generation(sidecar, "identity") >= number


def test_nobody_is_served_before_there_is_an_svid_and_readyz_says_why(
    town: Town, application: Application, agent: Agent
) -> None:
    own = town.svid(FRONTEND)
    agent.current = grpc.StatusCode.PERMISSION_DENIED
    with server(town, application, agent, ready=False) as sidecar:
        sidecar.wait_for_line("PERMISSION_DENIED")
        status, body = sidecar.get("/readyz")
        assert status == 503
        assert f"identity: {agent.address}: PERMISSION_DENIED: the test says" in body
        assert sidecar.get("/livez")[0] == 200
        with tcp(data_port(sidecar)) as waiting:
            agent.current = api(town)
            # Whoever came too early waits in the backlog, and is served then.
            assert wrap(waiting, own).get_peer_certificate() is not None
        sidecar.wait_until_ready()
        assert sidecar.get("/readyz") == (200, "ready\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_that_waits_for_its_first_svid_ends_at_once_when_told(
    town: Town, application: Application, agent: Agent, number: signal.Signals
) -> None:
    with server(town, application, agent, ready=False) as sidecar:
        eventually(lambda: agent.asked, "the agent is asked")
        sidecar.signal(number)
        assert sidecar.wait(5) == 0
        assert "Traceback" not in sidecar.errors()


def test_a_mistake_of_ours_is_not_repeated(
    town: Town, application: Application, agent: Agent
) -> None:
    agent.current = grpc.StatusCode.INVALID_ARGUMENT
    with server(town, application, agent, ready=False) as sidecar:
        sidecar.wait_for_line("does not take our request")
        assert says(sidecar, "INVALID_ARGUMENT: the test says invalid_argument (it is")
        agent.send(api(town))
        assert sidecar.post("/reload")[0] == 200
        assert agent.asked == 1
        assert sidecar.get("/readyz")[0] == 503


def test_an_agent_that_is_away_takes_nothing_with_it(
    town: Town, application: Application, agent: Agent
) -> None:
    own = town.svid(FRONTEND)
    agent.current = api(town)
    with server(town, application, agent) as sidecar:
        with Agent(agent.path.with_name("unused")):
            agent.__exit__(None, None, None)
        eventually(lambda: says(sidecar, "warning: workload_api: "), "it is missed")
        assert sidecar.get("/readyz")[0] == 200
        assert ask(data_port(sidecar), own).endswith(ANSWER)
        agent.current = api(town)
        agent.__enter__()
        eventually(lambda: generation(sidecar, "identity") == 2, "it is asked again")
        assert sidecar.get("/readyz") == (200, "ready\n")


def test_a_stream_that_ends_is_opened_again(
    town: Town, application: Application, agent: Agent
) -> None:
    agent.current = api(town)
    with server(town, application, agent) as sidecar:
        agent.drop()
        eventually(lambda: agent.asked == 2, "it is asked again")
        agent.send(api(town))
        eventually(lambda: generation(sidecar, "identity") == 2, "and answers")


def test_an_svid_is_not_shown_after_its_end(
    town: Town, application: Application, agent: Agent
) -> None:
    own = town.svid(FRONTEND)
    agent.current = api(town, dt.timedelta(seconds=4))
    with server(town, application, agent) as sidecar:
        assert ask(data_port(sidecar), own).endswith(ANSWER)
        agent.send(grpc.StatusCode.UNAVAILABLE)
        eventually(lambda: refused(data_port(sidecar), own), "it ends")
        record = last_failure(sidecar)
        assert record["reason"] == "no_identity"
        assert record["detail"].startswith("our own certificate expired ")
        agent.current = api(town)
        eventually(lambda: not refused(data_port(sidecar), own), "there is another", 40)


def test_an_identity_that_is_taken_away_serves_no_more(
    town: Town, application: Application, agent: Agent
) -> None:
    own = town.svid(FRONTEND)
    agent.current = kept = api(town)
    with server(town, application, agent) as sidecar:
        assert not refused(data_port(sidecar), own)
        agent.send(grpc.StatusCode.PERMISSION_DENIED)
        eventually(lambda: sidecar.get("/readyz")[0] == 503, "it is not ready")
        assert says(sidecar, "identity: unix:///")
        assert refused(data_port(sidecar), own)
        assert last_failure(sidecar)["reason"] == "no_identity"
        agent.current = kept
        eventually(lambda: sidecar.get("/readyz")[0] == 200, "it is given back", 40)
        assert not refused(data_port(sidecar), own)


BROKEN: dict[str, Any] = {
    "no message": lambda town: b"\xff",
    "nothing": lambda town: response(),
    "an expired SVID": lambda town: api(town, -HOUR),
    "a broken bundle": lambda town: response(
        entry(issue(town.authority, PATH), town.authority, bundle=b"x")
    ),
    "a broken list": lambda town: api(town, crl=[b"x"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_message_that_will_not_do_leaves_the_last_good_one_in_force(
    town: Town, application: Application, agent: Agent, case: str
) -> None:
    own = town.svid(FRONTEND)
    agent.current = api(town)
    with server(town, application, agent) as sidecar:
        agent.send(BROKEN[case](town))
        eventually(lambda: failures(sidecar, "identity"), "it is counted")
        assert says(sidecar, "ready\nwarning: identity: identity.workload_api: ")
        assert "not taken, what was issued before serves on: " in sidecar.errors()
        assert ask(data_port(sidecar), own).endswith(ANSWER)
        assert generation(sidecar, "identity") == 1
        # Files are still reloaded, and what was refused does not come back with them.
        assert sidecar.post("/reload") == (200, "reloaded\n")
        agent.send(api(town))
        eventually(lambda: generation(sidecar, "identity") == 2, "a good one comes")
        assert sidecar.get("/readyz") == (200, "ready\n")


def test_a_first_message_that_will_not_do_serves_nobody(
    town: Town, application: Application, agent: Agent
) -> None:
    agent.current = response()
    with server(town, application, agent, ready=False) as sidecar:
        sidecar.wait_for_line("at least one SVID, got none")
        assert says(sidecar, "identity: identity.workload_api: not an answer: ")
        assert sidecar.get("/readyz")[0] == 503
        agent.send(api(town))
        sidecar.wait_until_ready()


def test_a_bundle_that_is_absent_is_unloaded(
    town: Town, application: Application, agent: Agent
) -> None:
    partner = new_authority("partner.test")
    bundles = {"spiffe://partner.test": der([partner.root])}
    foreign = write_svid(town.folder, partner, "/ns/shop/sa/frontend", name="foreign")
    rule = {
        "name": "partners",
        "action": "allow",
        "peers": ["spiffe://partner.test/ns/shop/sa/frontend"],
    }
    agent.current = api(town, federated=bundles)
    policy = {"default": "deny", "rules": [rule]}
    with server(town, application, agent, policy=policy) as sidecar:
        port = data_port(sidecar)
        assert ask(port, foreign).endswith(ANSWER)
        agent.send(api(town))
        eventually(lambda: generation(sidecar, "identity") == 2, "it is taken up")
        assert refused(port, foreign)
        assert last_failure(sidecar)["reason"] == "unknown_trust_domain"


def test_a_list_of_the_agent_revokes(
    town: Town, application: Application, agent: Agent
) -> None:
    own = town.svid(FRONTEND)
    agent.current = api(town)
    with server(town, application, agent) as sidecar:
        port = data_port(sidecar)
        assert not refused(port, own)
        serial = leaf_serial(own.certificate_chain)
        crl = town.authority.crl([serial], now=dt.datetime.now(dt.UTC))
        agent.send(api(town, crl=[crl.public_bytes(Encoding.DER)]))
        eventually(lambda: generation(sidecar, "identity") == 2, "it is taken up")
        assert refused(port, own)
        assert last_failure(sidecar)["reason"] == "revoked"


def test_the_hint_can_be_changed_while_it_runs(
    town: Town, application: Application, agent: Agent
) -> None:
    own = town.svid(FRONTEND)
    other = issue(town.authority, "/ns/shop/sa/other")
    agent.current = response(
        entry(issue(town.authority, PATH), town.authority, "internal"),
        entry(other, town.authority, "external"),
    )
    with server(town, application, agent) as sidecar:
        before = shown(data_port(sidecar), own)
        changed = dict(sidecar.configuration)
        changed["identity"] = {**changed["identity"], "hint": "extrenal"}
        sidecar.write_configuration(changed)
        status, body = sidecar.post("/reload")
        assert (status, "got 'extrenal'" in body) == (422, True), body
        assert shown(data_port(sidecar), own) == before
        changed["identity"]["hint"] = "external"
        sidecar.write_configuration(changed)
        assert sidecar.post("/reload") == (200, "reloaded\n")
        assert shown(data_port(sidecar), own) == other.leaf.serial_number


def test_it_moves_from_files_to_the_agent_and_back(
    town: Town, application: Application, agent: Agent
) -> None:
    own = town.svid(FRONTEND)
    agent.current = api(town)
    with town.server(application.port) as sidecar:
        files = shown(data_port(sidecar), own)
        with_files = sidecar.configuration
        with_agent = {**with_files, "identity": {"workload_api": agent.address}}
        sidecar.write_configuration(with_agent)
        assert sidecar.post("/reload") == (200, "reloaded\n")
        eventually(lambda: generation(sidecar, "identity") == 2, "the agent is asked")
        assert shown(data_port(sidecar), own) != files
        sidecar.write_configuration(with_files)
        assert sidecar.post("/reload") == (200, "reloaded\n")
        assert shown(data_port(sidecar), own) == files


def test_every_worker_asks_for_itself(
    town: Town, application: Application, agent: Agent
) -> None:
    own = town.svid(FRONTEND)
    agent.current = api(town)
    with server(town, application, agent, workers=2) as sidecar:
        assert agent.asked == 2
        assert ask(data_port(sidecar), own).endswith(ANSWER)
        agent.send(api(town))
        eventually(lambda: generation(sidecar, "identity") == 2, "both take it up")
        assert sidecar.stop(5) == 0


def test_the_environment_leads_to_the_agent(
    town: Town, application: Application, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = town.svid(FRONTEND)
    agent.current = api(town)
    monkeypatch.setenv("SPIFFE_ENDPOINT_SOCKET", agent.address)
    with town.server(application.port, identity={}) as sidecar:
        assert ask(data_port(sidecar), own).endswith(ANSWER)


def test_both_sides_of_a_call_may_have_agents(
    town: Town, application: Application, agent: Agent
) -> None:
    agent.current = api(town)
    frontend = issue(town.authority, "/ns/shop/sa/frontend")
    with (
        Agent(town.folder / "other.sock") as other,
        server(town, application, agent) as inbound,
    ):
        other.current = response(entry(frontend, town.authority))
        source = {"workload_api": other.address}
        with town.client(data_port(inbound), identity=source) as outbound:
            with tcp(data_port(outbound)) as sock:
                sock.sendall(REQUEST)
                assert read_to_end(sock).endswith(ANSWER)
                name = name_of(sock)
            assert record_of(outbound, name)["peer"] == API


def leaf_serial(chain: Path) -> int:
    return load_pem_x509_certificates(chain.read_bytes())[0].serial_number
