"""`workers: N`: several processes that look like one, and outlive one another."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from OpenSSL import SSL

from tests.integration.callers import ANSWER, REQUEST, ask, read_all, tcp, tls, wrap
from tests.integration.conftest import FRONTEND, Application, Town, data_port
from tests.support.deadlines import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.pki import Pair
    from tests.support.sidecars import Samples, Sidecar

TOTAL = "sidecar_connections_total"
OPEN = "sidecar_connections_open"
RESTARTS = "sidecar_worker_restarts_total"


def children(pid: int) -> list[int]:
    """Give the processes that *pid* has started, the oldest first."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            rest = path.read_text().rpartition(")")[2].split()
            if int(rest[1]) == pid and rest[0] != "Z":
                found.append(int(path.parent.name))
    return sorted(found)


def receive(connection: SSL.Connection, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += connection.recv(65536)
    return data


def rows(sidecar: Sidecar) -> list[dict[str, str]]:

    status, text = sidecar.get("/connections", "admin")
    assert status == 200
    found: list[dict[str, str]] = json.loads(text)
    return found


@contextmanager
def holding(
    sidecar: Sidecar, own: Pair, count: int = 32
) -> Iterator[dict[str, SSL.Connection]]:
    """Keep connections open that have echoed once; by their source."""
    with ExitStack() as stack:
        held = {}
        for _ in range(count):
            sock = stack.enter_context(tcp(data_port(sidecar)))
            connection = wrap(sock, own)
            connection.sendall(b"hello")
            assert receive(connection, 5) == b"hello"
            host, port = sock.getsockname()
            held[f"{host}:{port}"] = connection
        yield held


def by_worker(sidecar: Sidecar) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for row in rows(sidecar):
        found.setdefault(int(row["worker"]), set()).add(row["source"])
    return found


def counters(samples: Samples) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    endings = ("_total", "_count", "_sum", "_bucket")
    return {
        key: value for key, value in samples.values.items() if key[0].endswith(endings)
    }


def test_connections_are_spread_and_counted_once(town: Town, echo: int) -> None:
    own = town.svid(FRONTEND)
    with town.server(echo, workers=2) as api:
        assert len(children(api.pid)) == 2
        with holding(api, own) as held:
            spread = by_worker(api)
            assert set(spread) == {1, 2}
            assert set.union(*spread.values()) == set(held)
            assert api.metrics().sum(OPEN, direction="inbound") == len(held)
        records = api.wait_for_records(32)
        assert {each["source"] for each in records} == set(held)
        samples = api.metrics()
        assert samples.sum(TOTAL, direction="inbound") == 32
        assert samples.sum("sidecar_handshakes_total", reason="ok") == 32
        assert samples.sum("sidecar_received_bytes_total") == 32 * 5
        assert samples.sum("sidecar_handshake_seconds_count", result="ok") == 32
        assert samples["sidecar_build_info"] == 1
        assert samples.sum("sidecar_generation", what="policy") == 1
        assert samples[RESTARTS] == 0
        assert api.stop() == 0
    assert children(api.pid) == []


def test_one_worker_is_one_process(town: Town, application: Application) -> None:
    own = town.svid(FRONTEND)
    with town.server(application.port, workers=1) as api:
        assert ask(data_port(api), own).endswith(ANSWER)
        assert children(api.pid) == []
        assert RESTARTS not in api.metrics().names()


def test_a_worker_that_is_killed_costs_its_own_connections_and_is_replaced(
    town: Town, echo: int
) -> None:
    own = town.svid(FRONTEND)
    with town.server(echo, workers=2) as api, holding(api, own) as held:
        victim, other = children(api.pid)
        before = counters(api.metrics())
        lost = by_worker(api)
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: api.metrics()[RESTARTS] == 1, "its end is counted")
        api.wait_until_ready()
        assert other in children(api.pid)
        assert len(children(api.pid)) == 2
        left = by_worker(api)
        assert set(left) < set(lost)
        (survivor,) = left
        for source, connection in held.items():
            if source in left[survivor]:
                connection.sendall(b"still here")
                assert receive(connection, 10) == b"still here"
            else:
                with pytest.raises(SSL.Error):
                    connection.recv(1)
        after = counters(api.metrics())
        assert {key for key in before if after[key] < before[key]} == set()
        assert api.metrics().sum(OPEN) == len(left[survivor])
        assert "SIGKILL" in api.errors()


def test_no_call_is_refused_and_no_counter_goes_backwards_while_workers_die(
    town: Town, application: Application
) -> None:
    """A call fails only where its own worker dies under it."""
    own = town.svid(FRONTEND)
    over = threading.Event()
    refused: list[OSError] = []
    answered: list[int] = []

    def call(port: int) -> None:
        while not over.is_set():
            try:
                sock = socket.create_connection(("127.0.0.1", port), 10)
            except OSError as error:
                refused.append(error)
                return
            with sock, suppress(SSL.Error, OSError):
                connection = wrap(sock, own)
                connection.sendall(REQUEST)
                answered.append(len(read_all(connection)))

    with town.server(application.port, workers=2) as api:
        threads = [
            threading.Thread(target=call, args=[data_port(api)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        try:
            seen = counters(api.metrics())
            for kill in range(1, 4):
                os.kill(children(api.pid)[0], signal.SIGKILL)

                def is_back(kill: int = kill) -> bool:
                    nonlocal seen
                    now = counters(api.metrics())
                    assert {key for key in seen if now[key] < seen[key]} == set()
                    seen = now
                    ready = api.get("/readyz")[0] == 200
                    return ready and api.metrics()[RESTARTS] == kill

                eventually(is_back, f"worker {kill} is replaced")
                enough = len(answered) + 20
                eventually(lambda: len(answered) > enough, "calls are answered")  # noqa: B023
        finally:
            over.set()
            for thread in threads:
                thread.join()
    assert refused == []


def test_what_waits_in_the_queue_of_a_dead_worker_is_served_by_the_next(
    town: Town, echo: int
) -> None:
    own = town.svid(FRONTEND)
    with town.server(echo, workers=2) as api, ExitStack() as stack:
        for pid in children(api.pid):
            os.kill(pid, signal.SIGSTOP)
        waiting = [stack.enter_context(tcp(data_port(api))) for _ in range(16)]
        for pid in children(api.pid):
            os.kill(pid, signal.SIGKILL)
        for sock in waiting:
            connection = wrap(sock, own)
            connection.sendall(b"hello")
            assert receive(connection, 5) == b"hello"


def test_a_change_reaches_all_workers(town: Town, application: Application) -> None:
    own = town.svid(FRONTEND)

    def outcomes(sidecar: Sidecar) -> set[bool]:
        """Call often enough that each worker is among those who answered."""
        found = set()
        for _ in range(24):
            try:
                found.add(ask(data_port(sidecar), own).endswith(ANSWER))
            except SSL.Error:
                found.add(False)
        return found

    with town.server(application.port, workers=2) as api:
        assert outcomes(api) == {True}
        api.write_policy({"default": "deny", "rules": []})
        api.signal(signal.SIGHUP)
        generation = ("sidecar_generation", {"what": "policy"})
        eventually(
            lambda: api.metrics().sum(generation[0], **generation[1]) == 2,
            "all have the new policy",
        )
        assert outcomes(api) == {False}
        api.write_policy({"default": "allow", "rules": []})
        assert api.post("/reload") == (200, "reloaded\n")
        assert outcomes(api) == {True}
        api.policy_file.write_text("default: maybe\n")
        status, text = api.post("/reload")
        assert (status, text.count("default: ")) == (422, 1)
        assert outcomes(api) == {True}
        eventually(
            lambda: "warning: reload: " in api.get("/readyz")[1], "the probe is told"
        )
        # The next worker cannot start; the last good files serve on with the other.
        os.kill(children(api.pid)[0], signal.SIGKILL)
        eventually(lambda: api.metrics()[RESTARTS] >= 2, "a start has failed")
        status, text = api.get("/readyz")
        assert (status, text.startswith("worker ")) == (503, True)
        assert "exit status 2" in text
        assert outcomes(api) == {True}
        api.write_policy({"default": "allow", "rules": []})
        api.wait_until_ready()
        assert outcomes(api) == {True}


def test_a_new_worker_joins_the_others_in_their_generation(
    town: Town, application: Application
) -> None:
    with town.server(application.port, workers=2) as api:
        for default in ("allow", "deny"):
            api.write_policy({"default": default, "rules": []})
            assert api.post("/reload")[0] == 200
        api.metrics()
        os.kill(children(api.pid)[0], signal.SIGKILL)
        eventually(lambda: api.metrics()[RESTARTS] == 1, "its end is counted")
        api.wait_until_ready()
        assert api.metrics().sum("sidecar_generation", what="policy") == 3


def test_the_log_level_is_that_of_all(town: Town, application: Application) -> None:
    with town.server(application.port, workers=2, log={"level": "warning"}) as api:
        assert '"ready"' not in api.errors()
        assert api.post("/logging?level=info") == (200, "level=info\n")
        api.stop()
    assert api.errors().count('"event":"drained"') == 2


@pytest.mark.parametrize("way", ["SIGTERM", "/quitquitquit"])
def test_told_to_stop_all_workers_let_connections_finish(
    town: Town, echo: int, way: str
) -> None:
    own = town.svid(FRONTEND)
    drain = {"deadline_seconds": 60}
    with town.server(echo, workers=2, drain=drain) as api:
        with holding(api, own, 16) as held:
            assert set(by_worker(api)) == {1, 2}
            if way == "SIGTERM":
                # To all of them, as a terminal or a service manager does.
                os.killpg(api.pid, signal.SIGTERM)
            else:
                assert api.post(way)[0] == 200
            eventually(lambda: refuses(data_port(api)), "nobody accepts any more")
            assert api.get("/readyz") == (503, "draining\n")
            assert api.metrics().sum(OPEN) == 16
            for connection in held.values():
                connection.sendall(b"still here")
                assert receive(connection, 10) == b"still here"
                connection.shutdown()
        assert api.wait() == 0
    records = [each for each in api.access_records() if each["source"] in held]
    assert [each["outcome"] for each in records] == ["completed"] * 16


def test_told_twice_all_workers_end_at_once(town: Town, echo: int) -> None:
    own = town.svid(FRONTEND)
    drain = {"delay_seconds": 60, "deadline_seconds": 60}
    with town.server(echo, workers=2, drain=drain) as api, holding(api, own, 8):
        api.signal(signal.SIGTERM)
        api.wait_for_line('"draining"')
        api.signal(signal.SIGTERM)
        assert api.wait() == 0
    assert {each["outcome"] for each in api.access_records()} == {"drained"}


def test_a_worker_that_is_stuck_does_not_hold_up_the_end(town: Town, echo: int) -> None:
    with town.server(echo, workers=2) as api:
        os.kill(children(api.pid)[0], signal.SIGSTOP)
        assert api.get("/metrics")[0] == 200
        api.signal(signal.SIGTERM)
        api.wait_for_line("draining all")
        api.signal(signal.SIGTERM)
        assert api.wait() == 0


def test_workers_do_not_outlive_their_supervisor(town: Town, echo: int) -> None:
    own = town.svid(FRONTEND)
    drain = {"delay_seconds": 60, "deadline_seconds": 60}
    with town.server(echo, workers=2, drain=drain) as api:
        workers = children(api.pid)
        with tls(data_port(api), own) as connection:
            connection.sendall(b"hello")
            assert receive(connection, 5) == b"hello"
            api.signal(signal.SIGKILL)
            api.wait()
            eventually(lambda: refuses(data_port(api)), "nobody holds the port")
            connection.sendall(b"still here")
            assert receive(connection, 10) == b"still here"
            connection.shutdown()
        eventually(lambda: not any(map(runs, workers)), "the workers have ended")


def test_an_address_in_use_is_one_sentence_with_several_workers(town: Town) -> None:
    with town.server(9, workers=2, name="first") as first:
        port = data_port(first)
        with town.server(9, workers=2, port=port, name="second", ready=False) as second:
            assert second.wait() == 1
    assert second.errors() == (
        f"{second.configuration_file}: inbound.listeners[0].listen: cannot listen there,"
        f" address already in use, got '127.0.0.1:{port}'\n"
    )


def test_a_group_that_openssl_does_not_know_is_said_once(town: Town) -> None:
    with town.server(9, ready=False, workers=2, tls={"groups": ["P-42"]}) as api:
        assert api.wait() == 2
    assert api.errors().count("'P-42'") == 1


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return True
    return False
