"""Whatever a caller sends, it gets a clear end, one record, and costs nobody anything."""

from __future__ import annotations

import json
import random
import resource
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from OpenSSL import SSL

from tests.integration.callers import (
    ANSWER,
    alert_of,
    ask,
    client_hello,
    name_of,
    record_of,
    tcp,
    tls,
    wrap,
)
from tests.integration.conftest import (
    FRONTEND,
    Application,
    Town,
    curl,
    data_port,
    read_to_end,
    serving,
    was_reset,
)
from tests.integration.costs import cpu_seconds
from tests.support.deadlines import eventually
from tests.support.pki import new_authority
from tests.support.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.pki import Pair
    from tests.support.sidecars import Record, Sidecar

    Act = Callable[[socket.socket], str]

HANDSHAKE_SECONDS = 0.6


class Door(NamedTuple):
    """An inbound sidecar before an application, and one who may come in."""

    town: Town
    api: Sidecar
    frontend: Pair
    application: Application

    @property
    def port(self) -> int:
        return data_port(self.api)

    def serves(self) -> bool:
        return ask(self.port, self.frontend).endswith(ANSWER)

    def counted(self, reason: str, outcome: str) -> tuple[float, float]:
        samples = self.api.metrics()
        return (
            samples.sum("sidecar_handshakes_total", reason=reason),
            samples.sum("sidecar_connections_total", outcome=outcome),
        )


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    town = Town(tmp_path_factory.mktemp("door"))
    limits = {"handshake_seconds": HANDSHAKE_SECONDS, "handshakes": 8}
    with (
        serving() as application,
        town.server(application.port, limits=limits) as api,
    ):
        yield Door(town, api, town.svid(FRONTEND), application)


def ending(sock: socket.socket) -> str:
    """Read to the end, and say which kind of an end it was."""
    try:
        data = read_to_end(sock)
    except ConnectionResetError:
        return "reset"
    if data.startswith(b"\x15"):
        return "alert"
    return "more than an alert" if data else "closed"


def sends(data: bytes, *, and_ends: bool = False) -> Act:
    def act(sock: socket.socket) -> str:
        try:
            sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return "reset"
        if and_ends:
            sock.shutdown(socket.SHUT_WR)
        return ending(sock)

    return act


def drips(data: bytes) -> Act:
    """Send a byte at a time, fast enough that each is a sign of life."""

    def act(sock: socket.socket) -> str:
        for byte in data:
            try:
                sock.sendall(bytes([byte]))
            except (BrokenPipeError, ConnectionResetError):
                return "reset"
            time.sleep(HANDSHAKE_SECONDS / 10)
        return ending(sock)

    return act


HELLO = client_hello()
HTTP = b"GET / HTTP/1.1\r\nHost: api\r\n\r\n"
GARBAGE = b"\x17\x03" + random.Random(1).randbytes(4000)
SSL2_HELLO = bytes.fromhex("802e0100020015000000100100800200800300800400800500800600")
CLOSED = {"closed", "reset"}
ALERTED = {"alert", "reset"}

BAD: dict[str, tuple[Act, set[str], str]] = {
    "plaintext HTTP": (sends(HTTP), CLOSED, "plaintext"),
    "another protocol's text": (sends(b"SSH-2.0-x\r\n"), CLOSED, "plaintext"),
    "garbage": (sends(GARBAGE), ALERTED, "protocol_error"),
    "zeros": (sends(bytes(16 << 20)), CLOSED, "plaintext"),
    "PostgreSQL": (sends(b"\0\0\0\x08\x04\xd2\x16\x2f"), CLOSED, "plaintext"),
    "an SSLv2 hello": (sends(SSL2_HELLO), ALERTED, "protocol_error"),
    "an alert": (sends(b"\x15\x03\x01\0\x02\x02\x28"), ALERTED, "protocol_error"),
    "a record too long": (
        sends(b"\x16\x03\x01\xff\xff" + bytes(99)),
        ALERTED,
        "protocol_error",
    ),
    "nothing, then an end": (sends(b"", and_ends=True), CLOSED, "reset"),
    "nothing at all": (sends(b""), CLOSED, "timeout"),
    "a hello, then nothing": (sends(HELLO), CLOSED, "timeout"),
    "a hello, then an end": (sends(HELLO, and_ends=True), CLOSED, "reset"),
    "a byte at a time": (drips(HELLO), CLOSED, "timeout"),
}
CUTS = (1, 5, 6, 50, len(HELLO) - 1)
BAD |= {
    f"{n} bytes of a hello": (sends(HELLO[:n]), CLOSED, "timeout") for n in CUTS[::2]
}
BAD |= {
    f"{n} bytes of a hello, then an end": (
        sends(HELLO[:n], and_ends=True),
        CLOSED,
        "reset",
    )
    for n in CUTS
}


@pytest.mark.parametrize("case", BAD)
def test_no_handshake_comes_of(door: Door, case: str) -> None:
    act, ends, reason = BAD[case]
    before = door.counted(reason, "handshake_failed")
    with tcp(door.port) as sock, ThreadPoolExecutor(1) as elsewhere:
        source = name_of(sock)
        acting = elsewhere.submit(act, sock)
        assert door.serves()
        while not acting.done():
            assert door.serves()
    assert acting.result() in ends
    record = record_of(door.api, source)
    assert (record["outcome"], record["reason"]) == ("handshake_failed", reason)
    after = door.counted(reason, "handshake_failed")
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1]
    sources = [each["source"] for each in door.api.access_records()]
    assert sources.count(source) == 1


@pytest.mark.parametrize(
    "version", ["TLS1_VERSION", "TLS1_1_VERSION", "TLS1_2_VERSION"]
)
def test_old_tls_is_told_so_by_an_alert(door: Door, version: str) -> None:
    with tcp(door.port) as sock:
        source = name_of(sock)
        with pytest.raises(SSL.Error) as refused:
            wrap(sock, door.frontend, version=getattr(SSL, version))
    record = record_of(door.api, source)
    assert alert_of(refused.value) == "tlsv1 alert protocol version"
    assert (record["outcome"], record["reason"]) == (
        "handshake_failed",
        "protocol_error",
    )
    assert door.serves()


def test_who_is_refused_is_told_by_an_alert_why(door: Door) -> None:
    partner = Town(door.town.folder, new_authority("partner.test"))
    stranger = partner.svid("/ns/shop/sa/frontend", name="stranger")
    reached = door.application.accepted
    for own, alert, reason in (
        (None, "tlsv13 alert certificate required", "no_certificate"),
        (stranger, "tlsv1 alert unknown ca", "unknown_trust_domain"),
    ):
        with tcp(door.port) as sock:
            connection = wrap(sock, own)
            with pytest.raises(SSL.Error) as refused:
                connection.recv(1)
            record = record_of(door.api, name_of(sock))
        assert alert_of(refused.value) == alert
        assert (record["outcome"], record["reason"]) == ("handshake_failed", reason)
    assert door.application.accepted == reached


def test_callers_who_say_nothing_keep_nobody_out(door: Door) -> None:
    """Three hundred of them, where eight may shake hands at once."""
    with ExitStack() as stack:
        silent = {
            name_of(stack.enter_context(tcp(door.port))): number
            for number in range(300)
        }
        began = time.monotonic()
        assert door.serves()
        assert time.monotonic() - began < HANDSHAKE_SECONDS

        def reported() -> list[Record] | None:
            records = door.api.access_records()
            mine = [each for each in records if each["source"] in silent]
            return mine if len(mine) >= len(silent) else None

        mine = eventually(reported, "every silent caller is reported")
    assert {each["reason"] for each in mine} == {"timeout"}
    assert door.api.metrics().sum("sidecar_connections_open") <= 1


# An upstream that does not answer


def fails_upstream(
    town: Town, destination: int, **configuration: Any
) -> tuple[Record, Record]:
    """Call through a pair whose far end fails; give its records, inbound first."""
    with (
        town.server(destination, **configuration) as api,
        town.client(data_port(api)) as frontend,
    ):
        answer = curl(f"http://127.0.0.1:{data_port(frontend)}/")
        records = api.wait_for_records(1)[0], frontend.wait_for_records(1)[0]
        outcome = records[0]["outcome"]
        assert api.metrics().sum("sidecar_connections_total", outcome=outcome) == 1
    assert was_reset(answer), answer  # not an empty answer
    return records


def test_an_application_that_is_down_is_a_reset(town: Town) -> None:
    inbound, outbound = fails_upstream(town, free_port())
    assert (inbound["outcome"], inbound["reason"]) == ("upstream_refused", "ok")
    assert inbound["decision"] == "allow"
    assert outbound["outcome"] == "reset_by_upstream"


def test_an_application_that_does_not_accept_is_a_reset_in_time(town: Town) -> None:
    with ExitStack() as stack:
        # Its backlog is full: the kernel answers nobody any more.
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = full.getsockname()[1]
        for _ in range(3):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        inbound, _ = fails_upstream(town, port, limits={"connect_seconds": 0.3})
    assert inbound["outcome"] == "upstream_timeout"
    assert inbound["detail"] == "no answer in 0.3 seconds"


def test_a_server_that_refuses_is_a_reset(town: Town) -> None:
    with town.client(free_port()) as frontend, tcp(data_port(frontend)) as sock:
        sock.sendall(HTTP)
        assert ending(sock) == "reset"
        record = frontend.wait_for_records(1)[0]
    assert (record["direction"], record["outcome"]) == ("outbound", "upstream_refused")


def test_a_way_back_to_ourselves_is_refused_and_is_no_loop(town: Town) -> None:
    # The check knows localhost and literal addresses, but not the names of hosts.
    own, port = socket.gethostname(), free_port()
    with town.client(f"{own}:{port}", telemetry={"listen": f"0.0.0.0:{port}"}) as it:
        for _ in range(3):
            # It may come before the caller knows that it is connected.
            with suppress(ConnectionResetError), tcp(data_port(it)) as sock:
                assert ending(sock) == "reset"
        records = it.wait_for_records(3)
        loops = it.metrics().sum(
            "sidecar_connections_total", direction="outbound", outcome="loop"
        )
    assert [each["outcome"] for each in records] == ["loop"] * 3
    assert loops == 3


# Out of what there is only so much of


def test_a_full_file_table_is_waited_out(town: Town, application: Application) -> None:
    with town.server(application.port) as api, ExitStack() as held:
        own = town.svid(FRONTEND)
        # Fewer than it has counted on, as where others have filled the node's table.
        few = api.descriptors() + 8
        resource.prlimit(api.pid, resource.RLIMIT_NOFILE, (few, few))
        for _ in range(60):
            held.enter_context(tcp(data_port(api)))
        api.wait_for_line("cannot accept, will try again")
        cpu, began = cpu_seconds(api.pid), time.monotonic()
        api.wait_for_line('"seconds":0.64')  # it waits longer and longer
        assert cpu_seconds(api.pid) - cpu < (time.monotonic() - began) / 2
        held.close()
        assert ask(data_port(api), own).endswith(ANSWER)
        assert api.metrics().sum("sidecar_connections_open") <= 1
        lines = api.errors().count("cannot accept")
    assert lines < 20


def open_connections(sidecar: Sidecar) -> list[Any]:
    found: list[Any] = json.loads(sidecar.get("/connections", "admin")[1])
    return found


def test_past_the_limit_of_connections_callers_wait_their_turn(
    town: Town, application: Application
) -> None:
    with town.server(application.port, limits={"connections": 3}) as api:
        own, port = town.svid(FRONTEND), data_port(api)
        with ExitStack() as stack, ThreadPoolExecutor(1) as elsewhere:
            for _ in range(3):
                stack.enter_context(tls(port, own)).sendall(b"GET")
            eventually(lambda: len(open_connections(api)) == 3, "three are served")
            fourth = elsewhere.submit(ask, port, own)
            # A probe is no connection of the data path: it is answered.
            assert api.get("/readyz")[0] == 200
            assert not fourth.done()
            assert api.metrics().sum("sidecar_connections_open") == 3
            stack.close()
            assert fourth.result().endswith(ANSWER)
        assert [each["outcome"] for each in api.wait_for_records(4)].count(
            "completed"
        ) == 1
