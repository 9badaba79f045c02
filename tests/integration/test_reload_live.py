"""A sidecar that runs takes up what its files say, and nothing that is broken."""

from __future__ import annotations

import datetime as dt
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
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
from tests.support.deadlines import eventually
from tests.support.pki import new_authority, write_bundle
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.pki import Pair
    from tests.support.sidecars import Record, Sidecar

HOUR = dt.timedelta(hours=1)


def generation(sidecar: Sidecar, what: str) -> float:
    return sidecar.metrics().sum("sidecar_generation", what=what)


def failures(sidecar: Sidecar, what: str) -> float:
    return sidecar.metrics().sum("sidecar_reloads_total", what=what, result="failed")


def serial(port: int, own: Pair) -> int:
    """Give the serial number of the certificate that is shown to a caller."""
    with tcp(port) as sock:
        shown = wrap(sock, own).get_peer_certificate(as_cryptography=True)
    assert shown is not None
    return shown.serial_number


def denied(port: int, own: Pair) -> bool:
    try:
        ask(port, own)
    except SSL.Error:
        return True
    return False


def failed(sidecar: Sidecar) -> Record:
    """Give the record of the last call, which failed."""

    def last() -> Record | None:
        records = sidecar.access_records()
        return records[-1] if records[-1]["outcome"] != "completed" else None

    return eventually(last, "a failure is the last that was recorded")


def test_no_handshake_fails_while_both_sides_rotate(
    town: Town, application: Application
) -> None:
    def call(port: int) -> bool:
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(REQUEST)
            return read_to_end(sock).endswith(ANSWER)

    with (
        town.server(application.port) as api,
        town.client(data_port(api)) as frontend,
        ThreadPoolExecutor(6) as callers,
    ):
        calls = callers.map(call, [data_port(frontend)] * 500)
        for _ in range(10):
            for sidecar, name in ((api, API), (frontend, FRONTEND)):
                town.svid(name)
                assert sidecar.post("/reload") == (200, "reloaded\n")
        assert all(calls)
        records = api.wait_for_records(500)
        for sidecar in (api, frontend):
            assert generation(sidecar, "identity") == 11
            failed = sidecar.metrics().sum("sidecar_handshakes_total", result="failed")
            assert failed == 0
    assert len({each["generation"] for each in records}) > 1


def test_a_connection_outlives_the_generation_that_it_began_with(
    town: Town, echo: int
) -> None:
    own = town.svid(FRONTEND)
    with town.server(echo) as api, tcp(data_port(api)) as sock:
        connection = wrap(sock, own)
        connection.sendall(b"before")
        assert connection.recv(10) == b"before"
        town.svid(API)
        api.signal(signal.SIGHUP)
        eventually(lambda: generation(api, "identity") == 2, "the SVID is taken up")
        connection.sendall(b"after")
        assert connection.recv(10) == b"after"
        connection.shutdown()
        assert record_of(api, name_of(sock))["generation"] == 1


def mismatch(town: Town) -> None:
    town.svid(API, name="other").private_key.replace(town.folder / "api.key")


BREAKS: dict[str, Callable[[Town], object]] = {
    "expired": lambda town: town.svid(API, lifetime=-HOUR),
    "mismatched": mismatch,
    "gone": lambda town: (town.folder / "api.crt").unlink(),
    "no certificate": lambda town: (town.folder / "api.crt").write_bytes(b"\0"),
}


@pytest.mark.parametrize("case", BREAKS)
def test_a_broken_replacement_leaves_the_old_one_serving(
    town: Town, application: Application, case: str
) -> None:
    own = town.svid(FRONTEND)
    with town.server(application.port) as api:
        before = serial(data_port(api), own)
        BREAKS[case](town)
        api.signal(signal.SIGHUP)
        eventually(lambda: "warning: reload: " in api.get("/readyz")[1], "it is said")
        assert api.get("/readyz")[0] == 200
        assert ask(data_port(api), own).endswith(ANSWER)
        assert serial(data_port(api), own) == before
        assert failures(api, "identity") >= 1
        assert generation(api, "identity") == 1
        assert "not reloaded, the last good files serve on: " in api.errors()
        town.svid(API)
        api.signal(signal.SIGHUP)
        eventually(lambda: api.get("/readyz") == (200, "ready\n"), "all is well again")
        assert serial(data_port(api), own) != before
        assert "PRIVATE KEY" not in api.errors()


def test_a_policy_that_changes_decides_about_who_comes_next(
    town: Town, application: Application
) -> None:
    own = town.svid(FRONTEND)
    with town.server(application.port) as api:
        port = data_port(api)
        assert not denied(port, own)
        api.write_policy({"default": "deny", "rules": []})
        eventually(lambda: denied(port, own), "the caller is not allowed any more")
        assert denied(port, own)  # the one before may have been under way
        assert failed(api)["outcome"] == "denied"
        api.write_policy({"default": "denny", "rules": []})
        eventually(lambda: failures(api, "policy"), "the broken policy is counted")
        assert denied(port, own)
        api.write_policy({"default": "allow", "rules": []})
        eventually(lambda: not denied(port, own), "the caller is allowed again")


def test_the_folder_of_a_kubernetes_secret_is_swapped(
    town: Town, application: Application
) -> None:
    """Its names lead through `..data`, which is replaced as a whole."""
    own = town.svid(FRONTEND)
    api = town.server(application.port)
    names = ("api.crt", "api.key")

    def publish(folder: Path) -> None:
        folder.mkdir()
        for name in names:
            (town.folder / name).rename(folder / name)
            (town.folder / name).symlink_to(f"..data/{name}")
        fresh = town.folder / "..data_tmp"
        fresh.symlink_to(folder.name)
        fresh.replace(town.folder / "..data")

    publish(town.folder / "..1")
    with api:
        before = serial(data_port(api), own)
        town.svid(API, name="fresh")
        second = town.folder / "..2"
        second.mkdir()
        for name in names:
            fresh = town.folder / name.replace("api", "fresh")
            fresh.rename(second / name)
        swap = town.folder / "..data_tmp"
        swap.symlink_to(second.name)
        swap.replace(town.folder / "..data")
        eventually(lambda: generation(api, "identity") == 2, "the swap is noticed")
        assert serial(data_port(api), own) != before
        assert failures(api, "identity") == 0


def test_a_listener_cannot_move_but_the_rest_applies(
    town: Town, application: Application
) -> None:
    own = town.svid(FRONTEND)
    with town.server(application.port) as api:
        port, elsewhere = data_port(api), free_port()
        changed: dict[str, Any] = {
            **api.configuration,
            "inbound": {
                "listeners": [
                    {
                        "listen": f"127.0.0.1:{elsewhere}",
                        "destination": f"127.0.0.1:{application.port}",
                    }
                ]
            },
            "log": {"access": "none"},
        }
        api.write_configuration(changed)
        note = "inbound.listeners: a change takes effect with the next start"
        api.wait_for_line(note)
        eventually(lambda: generation(api, "config") == 2, "the rest is published")
        records = len(api.access_records())
        assert ask(port, own).endswith(ANSWER)
        assert len(api.access_records()) == records
        with pytest.raises(ConnectionRefusedError), tcp(elsewhere):
            pass
        assert api.stop() == 0


def test_a_root_that_is_gone_is_trusted_no_more(
    town: Town, application: Application
) -> None:
    own = town.svid(FRONTEND)
    successor = new_authority(town.authority.trust_domain)
    heir = Town(town.folder, successor).svid(FRONTEND, name="heir")
    with town.server(application.port) as api:
        port = data_port(api)
        assert (denied(port, own), denied(port, heir)) == (False, True)
        write_bundle(town.folder, town.authority, successor)
        eventually(lambda: not denied(port, heir), "both roots are trusted")
        assert not denied(port, own)
        write_bundle(town.folder, successor)
        eventually(lambda: denied(port, own), "the old root is gone")
        assert failed(api)["reason"] == "untrusted_chain"
        assert not denied(port, heir)


def test_it_is_not_ready_when_its_certificate_is_about_to_end(
    town: Town, application: Application
) -> None:
    """Whoever was to renew it has not; it serves those who come all the same."""
    own = town.svid(FRONTEND)
    api = town.server(application.port, ready=False)
    town.svid(
        API, lifetime=dt.timedelta(seconds=12)
    )  # the last tenth, from two minutes
    with api:
        eventually(lambda: readiness(api).startswith("identity: "), "it is not ready")
        assert "our own certificate expires in " in readiness(api)
        assert ask(data_port(api), own).endswith(ANSWER)
        town.svid(API)
        eventually(lambda: readiness(api) == "ready\n", "it is ready again")


def test_all_that_is_wrong_with_a_file_is_in_the_probes_answer(
    town: Town, application: Application
) -> None:
    with town.server(application.port) as api:
        rule = {"name": "other", "action": "allowed", "peers": []}
        api.write_policy({"default": "denny", "rules": [rule]})
        eventually(lambda: failures(api, "policy") == 1, "it is refused")
        ready, *warnings = readiness(api).splitlines()
        assert ready == "ready"
        assert len(warnings) == 4
        assert all(each.startswith("warning: reload: ") for each in warnings)
        assert all(
            each.removeprefix("warning: reload: ") in api.errors() for each in warnings
        )
        assert generation(api, "policy") == 1


def test_limits_change_without_a_restart(town: Town, echo: int) -> None:
    own = town.svid(FRONTEND)
    with town.server(echo) as api, tcp(data_port(api)) as sock:
        connection = wrap(sock, own)
        connection.sendall(b"before")
        assert connection.recv(10) == b"before"
        limits = {"idle_seconds": 0.2, "connections": 5}
        api.write_configuration({**api.configuration, "limits": limits})
        assert record_of(api, name_of(sock))["outcome"] == "idle_timeout"
        assert "a change takes effect with the next start" not in api.errors()


def readiness(sidecar: Sidecar) -> str:
    try:
        return sidecar.get("/readyz")[1]
    except OSError:
        return ""  # it does not listen yet
