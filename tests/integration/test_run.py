"""`sidecar run` as a process: signals, draining, and what it takes and gives back."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from OpenSSL import SSL

from tests.integration.callers import ANSWER, ask, read_all, tcp, tls
from tests.integration.conftest import (
    FRONTEND,
    Application,
    Town,
    curl,
    data_port,
    read_to_end,
)
from tests.integration.costs import descriptors, resident_kib
from tests.support.deadlines import eventually
from tests.support.ports import free_port
from tests.support.processes import ROOT
from tests.support.sidecars import Sidecar

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.pki import Pair

LONG = {"deadline_seconds": 60}


def by_signal(number: signal.Signals) -> Callable[[Sidecar], object]:
    return lambda sidecar: sidecar.signal(number)


STOPS: dict[str, Callable[[Sidecar], object]] = {
    "SIGTERM": by_signal(signal.SIGTERM),
    "SIGINT": by_signal(signal.SIGINT),
    "POST /quitquitquit": lambda sidecar: sidecar.post("/quitquitquit"),
}


def receive(connection: SSL.Connection, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += connection.recv(65536)
    return data


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("way", STOPS)
def test_told_to_stop_it_lets_connections_finish_and_exits_0(
    town: Town, echo: int, way: str
) -> None:
    block = os.urandom(1 << 20)
    with town.server(echo, drain=LONG) as api, ThreadPoolExecutor(1) as elsewhere:
        port = data_port(api)
        with tls(port, town.svid(FRONTEND)) as connection:
            connection.sendall(block[:100])
            assert receive(connection, 100) == block[:100]
            STOPS[way](api)
            eventually(lambda: refuses(port), "no new connections are taken")
            status, body = api.get("/readyz")
            assert (status, body) == (503, "draining\n")
            # What is on its way goes on as if nothing had happened.
            back = elsewhere.submit(receive, connection, len(block))
            for at in range(0, len(block), 1 << 14):
                connection.sendall(block[at : at + (1 << 14)])
            assert back.result(20) == block
            connection.shutdown()
            assert read_all(connection) == b""
        assert api.wait() == 0
        record = api.access_records()[-1]
    assert record["outcome"] == "completed"
    assert record["received"] == record["sent"] == len(block) + 100
    assert "Traceback" not in api.errors()


def test_during_the_delay_it_accepts_and_tells_the_probe(
    town: Town, application: Application
) -> None:
    drain = {"delay_seconds": 0.7, "deadline_seconds": 60}
    own = town.svid(FRONTEND)
    with town.server(application.port, drain=drain) as api:
        api.signal(signal.SIGTERM)
        eventually(lambda: api.get("/readyz") == (503, "draining\n"), "it drains")
        assert ask(data_port(api), own).endswith(ANSWER)
        assert api.get("/livez")[0] == 200
        assert api.wait() == 0
    assert [each["outcome"] for each in api.access_records()] == ["completed"]


def test_past_the_deadline_it_cuts_what_is_left_and_exits_0(
    town: Town, echo: int
) -> None:
    with town.server(echo, drain={"deadline_seconds": 0.3}) as api:
        with tls(data_port(api), town.svid(FRONTEND)) as connection:
            connection.sendall(b"hello")
            assert receive(connection, 5) == b"hello"
            api.signal(signal.SIGTERM)
            with pytest.raises(SSL.SysCallError, match="104"):  # ECONNRESET
                connection.recv(1)
        assert api.wait() == 0
    (record,) = api.access_records()
    assert (record["outcome"], record["received"], record["sent"]) == ("drained", 5, 5)
    assert '"cut":1' in api.errors()


@pytest.mark.parametrize("second", STOPS)
def test_told_twice_it_ends_at_once(town: Town, echo: int, second: str) -> None:
    with (
        town.server(echo, drain={"delay_seconds": 60, **LONG}) as api,
        tls(data_port(api), town.svid(FRONTEND)) as connection,
    ):
        connection.sendall(b"hello")
        assert receive(connection, 5) == b"hello"
        api.signal(signal.SIGTERM)
        api.wait_for_line("draining")
        STOPS[second](api)
        assert api.wait(3) == 0
    assert [each["outcome"] for each in api.access_records()] == ["drained"]


def test_the_records_of_connections_that_are_cut_are_all_written(
    town: Town, echo: int
) -> None:
    with town.client(echo, drain={"deadline_seconds": 0}) as frontend:
        route = frontend.configuration["outbound"]["routes"][0]
        del route["peers"]
        route["mode"] = "plaintext"
        frontend.write_configuration(frontend.configuration)
        assert frontend.post("/reload")[0] == 200
        with ExitStack() as held:
            for _ in range(300):
                sock = held.enter_context(tcp(data_port(frontend)))
                sock.sendall(b"x")
                assert sock.recv(1) == b"x"
            assert frontend.stop() == 0
    records = frontend.access_records()
    assert [each["outcome"] for each in records] == ["drained"] * 300


# Where it listens


@pytest.mark.parametrize("place", ["telemetry", "inbound"])
def test_an_address_in_use_is_one_sentence(town: Town, place: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options: dict[str, Any] = {"port": port}
        if place == "telemetry":
            options = {"telemetry": {"listen": f"127.0.0.1:{port}"}}
        with town.server(9, ready=False, **options) as api:
            assert api.wait() == 1
    key = "inbound.listeners[0].listen" if place == "inbound" else "telemetry.listen"
    assert api.errors() == (
        f"{api.configuration_file}: {key}: cannot listen there,"
        f" address already in use, got '127.0.0.1:{port}'\n"
    )


WITHOUT_IPV6 = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.net.no_ipv6 import forget_ipv6
forget_ipv6()
from sidecar.cli import main
sys.argv[0] = "sidecar"
sys.exit(main())
"""


class OnAnOldNode(Sidecar):
    """Runs where the kernel has no IPv6."""

    program: tuple[str, ...] = (sys.executable, "-c", WITHOUT_IPV6, "run", "--config")


def test_without_ipv6_every_address_is_what_there_is(
    town: Town, application: Application
) -> None:
    own = town.svid(FRONTEND)
    configuration = town.server(application.port).configuration
    port = free_port()
    (listener,) = configuration["inbound"]["listeners"]
    listener["listen"] = f"[::]:{port}"
    configuration["telemetry"] = {"listen": f"[::]:{free_port()}"}
    policy = {"default": "allow"}
    with OnAnOldNode(town.folder, configuration, policy, ready=False) as api:
        api.wait_for_line(f'"address":"0.0.0.0:{port}"')
        api.wait_for_line('"event":"ready"')
        assert ask(port, own).endswith(ANSWER)


def test_the_admin_listener_may_be_a_unix_socket(
    town: Town, application: Application
) -> None:
    path = town.folder / "admin.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))

    def admin(method: str, page: str) -> str:
        answer = curl("-X", method, "--unix-socket", path, f"http://localhost{page}")
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    with town.server(application.port, admin={"listen": f"unix:{path}"}) as api:
        mode = path.lstat().st_mode
        assert (stat.S_ISSOCK(mode), stat.S_IMODE(mode)) == (True, 0o600)
        shown = admin("GET", "/config")
        assert f'"admin": "unix:{path}"' in shown
        assert "PRIVATE KEY" not in shown
        assert admin("GET", "/connections") == "[]\n"
        assert admin("POST", "/reload") == "reloaded\n"
        assert admin("POST", "/quitquitquit") == "quitting\n"
        assert api.wait() == 0
    assert not path.exists()


# What is wrong with the input


def test_every_problem_of_every_file_is_said_at_once(town: Town) -> None:
    policy = {
        "default": "deny",
        "rules": [{"name": "a", "action": "alow", "peers": []}],
    }
    wrong: dict[str, Any] = {
        "limits": {"conections": 5},
        "drain": {"deadline_seconds": -1},
        "telemetry": {"listen": "localhost:15020"},
    }
    api = town.server(9, policy=policy, ready=False, **wrong)
    (town.folder / "api.key").unlink()
    with api:
        assert api.wait() == 2
    said = api.errors()
    for part in (
        "limits.conections",
        "did you mean",
        "drain.deadline_seconds",
        "telemetry.listen",
        "identity.private_key",
        "rules[0].action",
        "rules[0].peers",
    ):
        assert part in said
    assert api.output() == ""
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "missing", ["api.crt", "example.org.bundle.crt", "api-policy.yaml"]
)
def test_a_missing_file_is_named(town: Town, missing: str) -> None:
    api = town.server(9, ready=False)
    (town.folder / missing).unlink()
    with api:
        assert api.wait() == 2
    assert missing in api.errors()
    assert "no such file" in api.errors()


def test_a_group_that_openssl_does_not_know_is_named(town: Town) -> None:
    with town.server(9, ready=False, tls={"groups": ["X25519", "P-42"]}) as api:
        assert api.wait() == 2
    assert "tls.groups" in api.errors()
    assert "'P-42'" in api.errors()
    assert "Traceback" not in api.errors()


# What it is given


def started_by(script: str) -> tuple[str, ...]:
    """Run some Python in the process that becomes the sidecar."""
    become = "import os, sys\n" + script + "\nos.execv(sys.argv[1], sys.argv[1:])"
    return (sys.executable, "-c", become, *Sidecar.program)


OUTPUTS = {
    "stdin closed": "os.close(0)",
    "stdout closed": "os.close(1)",
    "stderr closed": "os.close(2)",
    "all closed": "os.closerange(0, 3)",
    "its reader gone": "r, w = os.pipe(); os.close(r); os.dup2(w, 1)",
    "its reader stalled": (
        "r, w = os.pipe(); os.set_inheritable(r, True); os.dup2(w, 1)\n"
        "os.set_blocking(w, False)\n"
        "try:\n  while os.write(w, bytes(4096)): pass\n"
        "except BlockingIOError: os.set_blocking(w, True)"
    ),
    "a full disk": "os.dup2(os.open('/dev/full', os.O_WRONLY), 1)",
}


@pytest.mark.parametrize("given", OUTPUTS)
def test_what_becomes_of_its_output_does_not_stop_traffic(
    town: Town,
    application: Application,
    given: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Sidecar, "program", started_by(OUTPUTS[given]))
    own = town.svid(FRONTEND)
    with town.server(application.port) as api:
        for _ in range(20):
            assert ask(data_port(api), own).endswith(ANSWER)
        for number in range(3):
            # None of them is a socket, that would get the access log.
            target = str(Path(f"/proc/{api.pid}/fd/{number}").readlink())
            assert not target.startswith(("socket:", "anon_inode:"))
        if given in {"stdout closed", "all closed", "its reader gone"}:
            dropped = "sidecar_access_records_dropped_total"
            eventually(lambda: api.metrics()[dropped] == 20, "all records are lost")
        assert api.stop() == 0


def test_a_reader_that_stalls_for_long_costs_records_and_not_memory(
    town: Town, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sidecar, "program", started_by(OUTPUTS["its reader stalled"]))
    dropped = "sidecar_access_records_dropped_total"
    with town.server(application.port) as api:
        before = resident_kib(api.pid)
        for _ in range(10_500):
            socket.create_connection(("127.0.0.1", data_port(api))).close()
        eventually(lambda: api.metrics()[dropped], "records are dropped, and counted")
        assert resident_kib(api.pid) - before < 24 * 1024
        assert ask(data_port(api), town.svid(FRONTEND)).endswith(ANSWER)
        assert api.stop() == 0


def test_with_few_open_files_callers_wait_and_none_is_turned_away(
    town: Town, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (90, 90))"
    monkeypatch.setattr(Sidecar, "program", started_by(few))
    anybody = {"default": "allow", "rules": []}
    open_now = "sidecar_connections_open"
    disabled = {"mode": "disabled"}
    with (
        town.server(application.port, policy=anybody, inbound=disabled) as api,
        ExitStack() as stack,
    ):
        room = api.metrics()["sidecar_connections_limit"]
        assert 10 <= room <= 20
        assert "not enough open files for limits.connections" in api.errors()
        callers = [stack.enter_context(tcp(data_port(api))) for _ in range(60)]
        eventually(lambda: api.metrics()[open_now] == room, "there is no more room")
        for caller in callers:
            caller.sendall(b"GET /orders HTTP/1.0\r\n\r\n")
            assert read_to_end(caller).endswith(ANSWER)
            caller.close()


def test_it_needs_no_privilege_and_writes_no_file(
    town: Town, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any capability, in a folder that nobody may write."""
    own = town.svid(FRONTEND)
    script = (
        "import resource\n"
        "os.dup2(os.open(os.devnull, os.O_WRONLY), 1)\n"
        "os.chdir(os.path.dirname(sys.argv[-1]))\n"
        "os.chmod('.', 0o555)\n"
        "os.environ['HOME'] = os.environ['TMPDIR'] = os.getcwd()\n"
        f"os.environ['PYTHONPATH'] = {str(ROOT)!r}\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        # What root would have after exec, prctl(2) PR_CAPBSET_DROP takes away.
        "import ctypes\n"
        "for capability in range(64):\n"
        "    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)\n"
    )
    monkeypatch.setattr(Sidecar, "program", started_by(script))
    try:
        with town.server(application.port) as api:
            before = sorted(town.folder.iterdir())
            assert ask(data_port(api), own).endswith(ANSWER)
            status = Path(f"/proc/{api.pid}/status").read_text()
            assert "CapEff:\t0000000000000000\n" in status
            assert api.post("/reload")[0] == 200
            assert api.stop() == 0
            assert sorted(town.folder.iterdir()) == before
    finally:
        town.folder.chmod(0o755)


# What it gives back


def test_descriptors_are_given_back(town: Town, application: Application) -> None:
    own, stranger = town.svid(FRONTEND), town.svid("/ns/shop/sa/batch")
    api = town.server(application.port)
    port = data_port(api)

    def refused(pair: Pair | None) -> None:
        with pytest.raises(SSL.Error):
            ask(port, pair)

    def garbage() -> None:
        with tcp(port) as sock, suppress(ConnectionError):
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            read_to_end(sock)

    def leaves() -> None:
        with tcp(port):
            pass

    def leaves_halfway() -> None:
        with tls(port, own) as connection:
            connection.sendall(b"GET /or")

    kinds = (
        lambda: ask(port, own),
        lambda: refused(stranger),
        lambda: refused(None),
        garbage,
        leaves,
        leaves_halfway,
    )
    with api:
        api.metrics()
        settled = descriptors(api.pid)
        for number in range(204):
            kinds[number % len(kinds)]()
        api.wait_for_records(204)
        eventually(lambda: descriptors(api.pid) <= settled, "all are given back")
        assert api.metrics().sum("sidecar_connections_open") == 0


def test_memory_does_not_grow_with_connections_that_are_over(
    town: Town, echo: int
) -> None:
    def call(port: int) -> bool:
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(b"hello")
            return sock.recv(5) == b"hello"

    with (
        town.server(echo) as api,
        town.client(data_port(api)) as frontend,
        ThreadPoolExecutor(8) as callers,
    ):
        port = data_port(frontend)
        assert all(callers.map(call, [port] * 300))
        before = resident_kib(api.pid), resident_kib(frontend.pid)
        assert all(callers.map(call, [port] * 2000))
        after = resident_kib(api.pid), resident_kib(frontend.pid)
    grown = [b - a for a, b in zip(before, after, strict=True)]
    print(before, after)  # noqa: T201  shown where it fails
    assert max(grown) < 4 * 1024
