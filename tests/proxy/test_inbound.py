from __future__ import annotations

import contextlib
import ipaddress
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from OpenSSL import SSL

from sidecar.certs.authority import HOUR, Authority
from sidecar.config.model import (
    Config,
    Endpoint,
    Inbound,
    Limits,
    MissingCertificate,
    Mode,
    PortSettings,
    Tls as TlsSettings,
)
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.net import original_dst
from sidecar.policy.compile import compile_policy
from sidecar.policy.model import Action, Default, Policy, Rule
from sidecar.proxy import inbound
from sidecar.proxy.connection import Connection
from sidecar.proxy.outcome import Refused
from sidecar.telemetry.labels import Direction, Verdict
from tests.support.mesh import (
    ALPN,
    Application,
    Running,
    Tls,
    Wire,
    allow,
    application,
    client,
    configuration,
    context,
    full_backlog,
    hello,
    nobody_there,
    now,
    rule,
    running,
    spiffe_id,
    svid,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.identity.svid import Svid

PERMISSIVE = Inbound(mode=Mode.PERMISSIVE)
DISABLED = Inbound(mode=Mode.DISABLED)
REQUEST = b"GET / HTTP/1.1\r\nHost: api\r\n\r\n"


async def test_an_allowed_peer_reaches_the_application() -> None:
    async with (
        application() as app,
        running(configuration(to=app.endpoint), allow("web")) as mesh,
    ):
        with await mesh.connect() as wire:
            tls = await client(wire, svid("web")).handshake()
            await tls.send(b"hello")
            assert await tls.receive() == b"hello"
            await tls.end()
            assert await tls.receive() == b""
        record = await mesh.record()
    assert record.pop("time")
    assert 0 < record.pop("seconds") < 20
    assert record.pop("source").startswith("127.0.0.1:")
    assert record == {
        "direction": "inbound",
        "outcome": "completed",
        "reason": "ok",
        "peer": "spiffe://example.org/ns/shop/sa/web",
        "identity": "spiffe://example.org/ns/shop/sa/api",
        "destination": str(app.endpoint),
        "upstream": str(app.endpoint),
        "rule": "allowed",
        "decision": "allow",
        "received": 5,
        "sent": 5,
        "tls_version": "TLSv1.3",
        "group": "X25519MLKEM768",
        "cipher": "TLS_AES_128_GCM_SHA256",
        "resumed": False,
        "generation": 1,
        "policy_generation": 1,
        "config_generation": 1,
    }
    samples = mesh.samples()
    counted = {"direction": "inbound", "result": "ok", "reason": "ok"}
    assert samples.sum("sidecar_handshakes_total", resumed="false", **counted) == 1
    assert samples["sidecar_handshakes_total"] == 1
    del counted["reason"]
    assert samples.sum("sidecar_handshake_seconds_count", **counted) == 1
    assert samples.sum("sidecar_connections_total", outcome="completed") == 1
    assert samples.sum("sidecar_policy_decisions_total", rule="allowed") == 1
    peers = {"peer": spiffe_id("web"), "decision": "allow", "direction": "inbound"}
    assert samples.sum("sidecar_peer_connections_total", **peers) == 1


async def test_an_answer_that_ends_before_the_question_does() -> None:
    """Each direction ends by itself."""

    async def answers_early(wire: Wire) -> None:
        await wire.send(b"answer")
        wire.end()
        assert await wire.receive_all() == b"question"

    async with (
        application(answers_early) as app,
        running(configuration(to=app.endpoint), allow("web")) as mesh,
    ):
        with await mesh.connect() as wire:
            tls = await client(wire, svid("web")).handshake()
            assert await tls.receive_all() == b"answer"
            await tls.send(b"question")
            await tls.end()
            assert await wire.receive() == b""
        record = await mesh.record()
    assert record["outcome"] == "completed"
    assert (record["received"], record["sent"]) == (8, 6)


# --- Denied by the policy


async def seen_by_a_denied_peer(mesh: Running, who: str) -> bytes:
    """All that the peer is told, encrypted and decrypted."""
    with await mesh.connect() as wire:
        tls = await client(wire, svid(who)).handshake()
        return await tls.was_reset()


@pytest.mark.parametrize(
    ("rules", "who", "said_of_it"),
    [
        (
            [allow("web"), rule(Action.DENY, "web", name="secret-name")],
            "web",
            {"rule": "secret-name", "detail": "denied by the rule 'secret-name'"},
        ),
        ([allow("web", name="secret-name")], "intruder", {}),
        ([], "web", {}),
    ],
)
async def test_a_denied_peer_never_reaches_the_application(
    rules: list[Rule], who: str, said_of_it: dict[str, str]
) -> None:
    async with (
        application() as bomb,
        running(configuration(to=bomb.endpoint), *rules) as mesh,
    ):
        seen = await seen_by_a_denied_peer(mesh, who)
        record = await mesh.record()
    assert bomb.accepted == []
    assert seen == b""
    assert record["outcome"] == "denied"
    assert record["decision"] == "deny"
    assert record["peer"] == spiffe_id(who)
    assert record["reason"] == "ok"
    assert "upstream" not in record
    assert "received" not in record
    assert said_of_it.items() <= record.items()
    samples = mesh.samples()
    counted = {"direction": "inbound", "decision": "deny"}
    assert samples.sum("sidecar_policy_decisions_total", **counted) == 1
    assert samples.sum("sidecar_peer_connections_total", **counted) == 1
    assert samples.sum("sidecar_connections_total", outcome="denied") == 1


async def test_the_record_says_which_rule_came_nearest() -> None:
    async with (
        application() as bomb,
        running(
            configuration(to=bomb.endpoint),
            allow("web", name="front", ports=frozenset({1})),
        ) as mesh,
    ):
        await seen_by_a_denied_peer(mesh, "web")
        record = await mesh.record()
    assert "rule" not in record
    assert "front" in record["detail"]
    assert bomb.accepted == []


async def test_a_dry_run_is_counted_and_changes_nothing() -> None:
    trial = rule(Action.DENY, "web", name="trial", dry_run=True)
    async with (
        application() as app,
        running(configuration(to=app.endpoint), allow("web"), trial) as mesh,
    ):
        with await mesh.connect() as wire:
            tls = await client(wire, svid("web")).handshake()
            await tls.end()
            assert await tls.receive() == b""
        record = await mesh.record()
    assert (record["decision"], record["rule"]) == ("allow", "allowed")
    decided = {"decision": "dry_run_deny", "rule": "trial", "direction": "inbound"}
    assert mesh.samples().sum("sidecar_policy_decisions_total", **decided) == 1


@pytest.mark.parametrize(
    ("network", "allowed"), [("127.0.0.0/8", True), ("10.0.0.0/8", False)]
)
async def test_the_source_counts(network: str, allowed: bool) -> None:
    near = allow("web", sources=(ipaddress.ip_network(network),))
    async with (
        application() as app,
        running(configuration(to=app.endpoint), near) as mesh,
    ):
        with await mesh.connect() as wire:
            tls = await client(wire, svid("web")).handshake()
            if allowed:
                await tls.end()
                assert await tls.receive() == b""
            else:
                with pytest.raises(ConnectionResetError):
                    await tls.receive()
        record = await mesh.record()
    assert record["decision"] == ("allow" if allowed else "deny")


@pytest.mark.parametrize(
    ("host", "network", "allowed"),
    [
        ("fe80::1%eth0", "fe80::/10", True),
        ("fe80::1%eth0", "2001:db8::/32", False),
        ("2001:db8::1", "2001:db8::/32", True),
    ],
)
async def test_a_source_with_a_zone_is_judged_by_its_address(
    host: str, network: str, allowed: bool
) -> None:
    """RFC 4007, 11: link-local addresses come with one."""
    near = allow("unauthenticated", sources=(ipaddress.ip_network(network),))
    source = Endpoint(host, 1)
    async with running(configuration(to=source), near) as mesh:
        connection = Connection(Direction.INBOUND, source, trio.current_time())
        judged = contextlib.nullcontext() if allowed else pytest.raises(Refused)
        with judged:
            inbound._authorize(mesh.mesh, connection, 80)
    assert connection.decision is (Verdict.ALLOW if allowed else Verdict.DENY)


async def test_what_is_only_audited_is_let_through_and_recorded() -> None:
    async with (
        application() as app,
        running(configuration(DISABLED, to=app.endpoint)) as mesh,
    ):
        mesh.mesh.policy = compile_policy(Policy(Default.AUDIT))
        with await mesh.connect() as wire:
            await wire.send(b"hello")
            assert await wire.receive() == b"hello"
            wire.end()
            assert await wire.receive() == b""
        record = await mesh.record()
    assert (record["outcome"], record["decision"]) == ("completed", "audit")
    audited = {"direction": "inbound", "decision": "audit", "rule": "default"}
    assert mesh.samples().sum("sidecar_policy_decisions_total", **audited) == 1


# --- Refused inside the handshake


def unknown_authority() -> Svid:
    """The right trust domain, said by an authority that nobody knows."""
    impostor = Authority.create("example.org", now=now())
    return impostor.issue(SpiffeId.parse(spiffe_id("web")), now=now())


@pytest.mark.parametrize(
    ("who", "alert", "reason"),
    [
        (lambda: None, 116, "no_certificate"),
        (lambda: svid("web", "stranger.test"), 48, "unknown_trust_domain"),
        (unknown_authority, 48, "untrusted_chain"),
        (lambda: svid("web", begins=-3 * HOUR), 45, "expired"),
        (lambda: svid("web", begins=3 * HOUR), 42, "not_yet_valid"),
    ],
)
async def test_a_bad_certificate_is_refused_with_an_alert(
    who: Callable[[], Svid | None], alert: int, reason: str
) -> None:
    anybody = rule(Action.ALLOW, "spiffe://example.org/**", name="anybody")
    async with (
        application() as bomb,
        running(configuration(to=bomb.endpoint), anybody) as mesh,
    ):
        with await mesh.connect() as wire:
            tls = client(wire, who())
            with pytest.raises(SSL.Error):
                await (await tls.handshake()).receive()
            assert tls.alerts == [alert]
            assert await wire.receive() == b""  # it was left time to read
        record = await mesh.record()
    assert bomb.accepted == []
    assert (record["outcome"], record["reason"]) == ("handshake_failed", reason)
    assert "peer" not in record
    assert "decision" not in record
    assert record["generation"] == 1
    samples = mesh.samples()
    failed = {"direction": "inbound", "result": "failed"}
    assert mesh.handshakes(reason=reason, resumed="false", **failed) == 1
    assert samples["sidecar_handshakes_total"] == 1
    assert samples.sum("sidecar_handshake_seconds_count", **failed) == 1


async def test_tls_1_2_is_refused_unless_it_is_asked_for() -> None:
    async with (
        application() as bomb,
        running(configuration(to=bomb.endpoint), allow("web")) as mesh,
    ):
        with await mesh.connect() as wire:
            tls = client(wire, svid("web"), version=SSL.TLS1_2_VERSION)
            with pytest.raises(SSL.Error):
                await tls.handshake()
            assert tls.alerts == [70]
        record = await mesh.record()
    assert bomb.accepted == []
    assert record["reason"] == "protocol_error"


async def test_tls_1_2_works_where_it_is_asked_for() -> None:
    old = TlsSettings(minimum_version="1.2")
    async with (
        application() as app,
        running(configuration(to=app.endpoint, tls=old), allow("web")) as mesh,
    ):
        with await mesh.connect() as wire:
            tls = client(wire, svid("web"), version=SSL.TLS1_2_VERSION)
            await (await tls.handshake()).send(b"hello")
            assert await tls.receive() == b"hello"
            await tls.end()
            assert await tls.receive() == b""
        record = await mesh.record()
    assert record["tls_version"] == "TLSv1.2"
    assert record["outcome"] == "completed"


# --- Not TLS at all


@pytest.mark.parametrize(
    "said",
    [
        REQUEST,
        b"GET",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\0\0\0\x08\x04\xd2\x16\x2f",
        b"\xff" * 64,
    ],
)
async def test_plaintext_is_reset_on_a_strict_port(said: bytes) -> None:
    async with (
        application() as bomb,
        running(configuration(to=bomb.endpoint), allow("unauthenticated")) as mesh,
    ):
        with await mesh.connect() as wire:
            await wire.send(said)
            assert await wire.was_reset() == b""
        record = await mesh.record()
    assert bomb.accepted == []
    assert (record["outcome"], record["reason"]) == ("handshake_failed", "plaintext")
    assert mesh.handshakes(reason="plaintext") == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x01\xff\xff" + b"\0" * 100,
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"\x17\x03\x03\x00\x10" + b"\0" * 16,
        hello()[:40] + b"\xff" * 400,
    ],
)
async def test_garbage_ends_the_handshake_and_nothing_else(garbage: bytes) -> None:
    async with (
        application() as bomb,
        running(configuration(to=bomb.endpoint), allow("web")) as mesh,
    ):
        with await mesh.connect() as wire:
            await wire.send(garbage)
            wire.end()
            with trio.fail_after(5):
                with contextlib.suppress(ConnectionResetError):
                    await wire.receive_all()
        record = await mesh.record()
    assert bomb.accepted == []
    assert record["outcome"] == "handshake_failed"
    assert record["reason"] in {"protocol_error", "reset", "peer_refused"}


async def test_a_peer_that_leaves_without_a_word_is_a_reset_handshake() -> None:
    async with (
        application() as bomb,
        running(configuration(to=bomb.endpoint), allow("web")) as mesh,
    ):
        (await mesh.connect()).sock.close()
        (await mesh.connect()).reset()
        with await mesh.connect() as wire:
            await wire.send(hello()[:100])
            wire.end()
            assert await wire.was_reset() == b""
        records = await mesh.records(3)
    assert bomb.accepted == []
    assert {each["outcome"] for each in records} == {"handshake_failed"}
    assert {each["reason"] for each in records} == {"reset"}


# --- Slow peers


async def test_a_handshake_cut_anywhere_times_out(
    clock: trio.testing.MockClock,
) -> None:
    whole = hello()
    cuts = [0, *range(1, 60), *range(60, len(whole), 97), len(whole) - 1, len(whole)]
    limits = Limits(handshake_seconds=3, handshakes=len(cuts))
    async with (
        application() as bomb,
        running(configuration(to=bomb.endpoint, limits=limits), allow("web")) as mesh,
    ):
        wires = [await mesh.connect() for _ in cuts]
        began = trio.current_time()
        for wire, cut in zip(wires, cuts, strict=True):
            await wire.send(whole[:cut])
        for wire in wires:
            with wire:
                seen = await wire.was_reset()
                assert (seen[:1] == b"\x16") is (wire is wires[-1])
        assert trio.current_time() - began == pytest.approx(3, abs=0.5)
        records = await mesh.records(len(cuts))
    assert bomb.accepted == []
    assert {each["reason"] for each in records} == {"timeout"}
    assert mesh.handshakes(reason="timeout") == len(cuts)


class SlowWire(Wire):
    async def send(self, data: bytes) -> None:
        for byte in data:
            await super().send(bytes([byte]))


async def test_a_peer_that_sends_one_byte_at_a_time_is_served() -> None:
    async with (
        application() as app,
        running(configuration(to=app.endpoint), allow("web")) as mesh,
    ):
        with await mesh.connect() as wire:
            tls = client(SlowWire(wire.sock), svid("web"))
            await (await tls.handshake()).send(b"hello")
            assert await tls.receive() == b"hello"
            await tls.end()
            assert await tls.receive() == b""
        assert (await mesh.record())["outcome"] == "completed"


async def test_peers_that_say_nothing_hold_up_nobody(
    clock: trio.testing.MockClock,
) -> None:
    """The place of a handshake is taken with the first bytes."""
    limits = Limits(handshakes=1)
    async with (
        application() as app,
        running(configuration(to=app.endpoint, limits=limits), allow("web")) as mesh,
    ):
        silent = [await mesh.connect() for _ in range(20)]
        await mesh.wait_open(20)
        with await mesh.connect() as wire:
            began = trio.current_time()
            await client(wire, svid("web")).handshake()
            assert trio.current_time() - began < 0.5
        for wire in silent:
            wire.sock.close()
        records = await mesh.records(21)
    assert sum(each["reason"] == "ok" for each in records) == 1


async def test_a_stalled_handshake_makes_room_for_the_next(
    clock: trio.testing.MockClock,
) -> None:
    limits = Limits(handshakes=1)
    async with (
        application() as app,
        running(configuration(to=app.endpoint, limits=limits), allow("web")) as mesh,
    ):
        with await mesh.connect() as stalls, await mesh.connect() as wire:
            await stalls.send(hello())
            assert (await stalls.receive())[:1] == b"\x16"
            began = trio.current_time()
            await client(wire, svid("web")).handshake()
            assert trio.current_time() - began == pytest.approx(1, abs=0.5)
            await stalls.was_reset()
        records = await mesh.records(2)
    by_reason = {each["reason"]: each for each in records}
    assert by_reason["timeout"]["detail"] == (
        "it stalled while others waited for its place"
    )
    assert by_reason["ok"]["peer"] == spiffe_id("web")


async def test_one_that_gave_up_while_it_waited_costs_no_handshake(
    clock: trio.testing.MockClock,
) -> None:
    limits = Limits(handshakes=1)
    async with (
        application() as app,
        running(configuration(to=app.endpoint, limits=limits), allow("web")) as mesh,
    ):
        with await mesh.connect() as stalls, await mesh.connect() as wire:
            await stalls.send(hello())
            assert (await stalls.receive())[:1] == b"\x16"
            await wire.send(hello())
            wire.end()
            assert await wire.was_reset() == b""
        records = await mesh.records(2)
    assert records[0]["reason"] == "timeout"
    assert records[1]["reason"] == "reset"
    assert records[1]["detail"] == "the peer left after its hello"


# --- A readable answer for those without a certificate


def http_400(app: Application, mode: Mode | None = None) -> Config:
    settings = PortSettings(mode, MissingCertificate.HTTP_400)
    inbound = Inbound(ports={app.endpoint.port: settings})
    return configuration(
        inbound, to=app.endpoint, tls=TlsSettings(minimum_version="1.2")
    )


def is_the_answer(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *headers = head.split(b"\r\n")
    assert status == b"HTTP/1.1 400 Bad Request"
    assert b"Content-Length: %d" % len(body) in headers
    assert b"Connection: close" in headers
    assert b"client certificate is required" in body
    return True


@pytest.mark.parametrize("mode", [Mode.STRICT, Mode.PERMISSIVE])
@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
async def test_tls_without_a_certificate_gets_an_answer_in_http(
    version: int, mode: Mode
) -> None:
    async with (
        application() as bomb,
        running(http_400(bomb, mode), allow("unauthenticated")) as mesh,
    ):
        with await mesh.connect() as wire:
            tls = client(wire, None, version=version, alpn=ALPN)
            await (await tls.handshake()).send(REQUEST)
            assert is_the_answer(await tls.receive_all())
            assert tls.alerts == []
        record = await mesh.record()
    assert bomb.accepted == []
    assert record["outcome"] == "handshake_failed"
    assert record["reason"] == "no_certificate"
    assert mesh.handshakes(result="failed", reason="no_certificate") == 1
    assert mesh.handshakes(result="ok") == 0


async def test_the_answer_does_not_wait_for_the_question_for_ever(
    clock: trio.testing.MockClock,
) -> None:
    async with application() as bomb, running(http_400(bomb), allow("web")) as mesh:
        with await mesh.connect() as wire:
            tls = await client(wire, None).handshake()
            began = trio.current_time()
            assert is_the_answer(await tls.receive_all())
            assert trio.current_time() - began == pytest.approx(2, abs=0.5)
        record = await mesh.record()
    assert bomb.accepted == []
    assert record["reason"] == "no_certificate"


async def test_one_that_leaves_before_the_answer_is_reported_the_same() -> None:
    async with application() as bomb, running(http_400(bomb), allow("web")) as mesh:
        with await mesh.connect() as wire:
            tls = await client(wire, None).handshake()
            await tls.end()
        with await mesh.connect() as wire:
            await client(wire, None).handshake()
            await trio.testing.wait_all_tasks_blocked(0.02)  # it has our last flight
            wire.reset()
        records = await mesh.records(2)
    assert {each["reason"] for each in records} == {"no_certificate"}


async def test_a_bad_certificate_gets_an_alert_even_where_none_gets_an_answer() -> None:
    async with application() as bomb, running(http_400(bomb), allow("web")) as mesh:
        with await mesh.connect() as wire:
            tls = client(wire, svid("web", "stranger.test"))
            with pytest.raises(SSL.Error):
                await (await tls.handshake()).receive()
            assert tls.alerts == [48]
        record = await mesh.record()
    assert bomb.accepted == []
    assert record["reason"] == "unknown_trust_domain"


async def test_a_good_certificate_is_served_where_none_gets_an_answer() -> None:
    async with application() as app, running(http_400(app), allow("web")) as mesh:
        with await mesh.connect() as wire:
            tls = await client(wire, svid("web")).handshake()
            await tls.send(b"hello")
            assert await tls.receive() == b"hello"
            await tls.end()
            assert await tls.receive() == b""
        assert (await mesh.record())["outcome"] == "completed"


async def test_plaintext_http_gets_an_answer_too() -> None:
    async with application() as bomb, running(http_400(bomb), allow("web")) as mesh:
        with await mesh.connect() as wire:
            await wire.send(REQUEST)
            assert is_the_answer(await wire.receive_all())
        record = await mesh.record()
    assert bomb.accepted == []
    assert (record["outcome"], record["reason"]) == ("handshake_failed", "plaintext")


# --- Permissive and disabled ports


async def test_mesh_tls_is_terminated_on_a_permissive_port() -> None:
    async with (
        application() as app,
        running(configuration(PERMISSIVE, to=app.endpoint), allow("web")) as mesh,
    ):
        with await mesh.connect() as wire:
            tls = await client(wire, svid("web"), alpn=ALPN).handshake()
            assert tls.connection.get_alpn_proto_negotiated() == ALPN
            await tls.send(b"hello")
            assert await tls.receive() == b"hello"
            await tls.end()
            assert await tls.receive() == b""
        record = await mesh.record()
    assert record["peer"] == spiffe_id("web")


@pytest.mark.parametrize("alpn", [None, b"h2"])
async def test_the_applications_own_tls_passes_untouched(alpn: bytes | None) -> None:
    own = svid("own", "application.test")
    certificates: list[object] = []

    async def speaks_tls(wire: Wire) -> None:
        context_ = context(SSL.TLS_SERVER_METHOD, own)
        tls = await Tls(wire, context_, server=True).handshake()
        await tls.send(await tls.receive())
        await tls.end()

    async with (
        application(speaks_tls) as app,
        running(
            configuration(PERMISSIVE, to=app.endpoint), allow("unauthenticated")
        ) as mesh,
    ):
        with await mesh.connect() as wire:
            tls = await client(wire, svid("web"), alpn=alpn).handshake()
            certificates.append(
                tls.connection.get_peer_certificate(as_cryptography=True)
            )
            await tls.send(b"hello")
            assert await tls.receive() == b"hello"
        record = await mesh.record()
    assert certificates == [own.chain[0]]
    assert "peer" not in record
    assert "tls_version" not in record
    assert mesh.samples()["sidecar_handshakes_total"] == 0


@pytest.mark.parametrize("inbound", [PERMISSIVE, DISABLED])
async def test_plaintext_passes_where_unauthenticated_peers_are_allowed(
    inbound: Inbound,
) -> None:
    async with (
        application() as app,
        running(
            configuration(inbound, to=app.endpoint), allow("unauthenticated")
        ) as mesh,
    ):
        with await mesh.connect() as wire:
            await wire.send(REQUEST)
            assert await wire.receive() == REQUEST
            wire.end()
            assert await wire.receive() == b""
        record = await mesh.record()
    assert record["outcome"] == "completed"
    assert (record["received"], record["sent"]) == (len(REQUEST), len(REQUEST))
    assert record["rule"] == "allowed"
    assert "peer" not in record
    plaintext = {"direction": "inbound", "port": str(app.endpoint.port)}
    samples = mesh.samples()
    assert samples.sum("sidecar_plaintext_connections_total", **plaintext) == 1


@pytest.mark.parametrize("inbound", [PERMISSIVE, DISABLED])
async def test_plaintext_is_reset_where_they_are_not(inbound: Inbound) -> None:
    anybody = rule(Action.ALLOW, "spiffe://example.org/**", name="anybody")
    async with (
        application() as bomb,
        running(configuration(inbound, to=bomb.endpoint), anybody) as mesh,
    ):
        with await mesh.connect() as wire:
            await wire.send(REQUEST)
            assert await wire.was_reset() == b""
        record = await mesh.record()
    assert bomb.accepted == []
    assert (record["outcome"], record["decision"]) == ("denied", "deny")


async def test_a_server_that_speaks_first_is_heard_after_a_while(
    clock: trio.testing.MockClock,
) -> None:
    async def greets(wire: Wire) -> None:
        await wire.send(b"220 ready\r\n")
        wire.end()
        await wire.receive_all()

    async with (
        application(greets) as app,
        running(
            configuration(PERMISSIVE, to=app.endpoint), allow("unauthenticated")
        ) as mesh,
    ):
        with await mesh.connect() as wire:
            began = trio.current_time()
            assert await wire.receive_all() == b"220 ready\r\n"
            assert trio.current_time() - began == pytest.approx(5, abs=0.5)
        assert (await mesh.record())["outcome"] == "completed"


async def test_bytes_that_were_looked_at_are_not_lost_when_time_runs_out(
    clock: trio.testing.MockClock,
) -> None:
    start = hello()[:100]
    async with (
        application() as app,
        running(
            configuration(PERMISSIVE, to=app.endpoint), allow("unauthenticated")
        ) as mesh,
    ):
        with await mesh.connect() as wire:
            await wire.send(start)
            assert await wire.receive() == start
            wire.end()
            assert await wire.receive() == b""
        assert (await mesh.record())["received"] == len(start)


async def test_a_reset_while_it_is_looked_at_is_the_clients() -> None:
    async with (
        application() as bomb,
        running(
            configuration(PERMISSIVE, to=bomb.endpoint), allow("unauthenticated")
        ) as mesh,
    ):
        wire = await mesh.connect()
        await mesh.wait_open(1)
        await trio.testing.wait_all_tasks_blocked()
        wire.reset()
        record = await mesh.record()
    assert bomb.accepted == []
    assert record["outcome"] == "reset_by_downstream"


# --- Where it goes


async def test_a_redirected_connection_goes_where_it_was_going(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with (
        application() as app,
        running(configuration(), allow("web", ports=frozenset({1}))) as denies,
        running(configuration(), allow("web")) as mesh,
    ):
        monkeypatch.setattr(original_dst, "original_dst", lambda _: app.endpoint)
        with await mesh.connect() as wire:
            tls = await client(wire, svid("web")).handshake()
            await tls.send(b"hello")
            assert await tls.receive() == b"hello"
            await tls.end()
            assert await tls.receive() == b""
        record = await mesh.record()
        assert await seen_by_a_denied_peer(denies, "web") == b""
    assert record["destination"] == record["upstream"] == str(app.endpoint)
    assert len(app.accepted) == 1


async def test_a_connection_that_was_not_redirected_has_no_destination() -> None:
    async with running(configuration(), allow("web")) as mesh:
        with await mesh.connect() as wire:
            assert await wire.was_reset() == b""
        record = await mesh.record()
    assert record["outcome"] == "no_destination"
    assert "not redirected" in record["detail"]
    assert "destination" not in record


async def test_a_loop_is_refused_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(configuration(DISABLED), allow("unauthenticated")) as mesh:
        ours = Endpoint("127.0.0.1", mesh.ports[Direction.INBOUND])
        monkeypatch.setattr(original_dst, "original_dst", lambda _: ours)
        with await mesh.connect() as wire:
            assert await wire.was_reset() == b""
        record = await mesh.record()
    assert record["outcome"] == "loop"
    looped = {"direction": "inbound", "outcome": "loop"}
    assert mesh.samples().sum("sidecar_connections_total", **looped) == 1


async def test_an_application_that_is_down_is_a_reset_and_no_empty_answer() -> None:
    async with running(configuration(to=nobody_there()), allow("web")) as mesh:
        with await mesh.connect() as wire:
            tls = await client(wire, svid("web")).handshake()
            with pytest.raises(ConnectionResetError):
                await tls.receive()
        record = await mesh.record()
    assert record["outcome"] == "upstream_refused"
    assert record["decision"] == "allow"
    assert record["peer"] == spiffe_id("web")
    assert record["tls_version"] == "TLSv1.3"
    assert "Connection refused" in record["detail"]


async def test_an_application_that_does_not_answer_times_out(
    clock: trio.testing.MockClock,
) -> None:
    with full_backlog() as silent:
        async with running(
            configuration(DISABLED, to=silent), allow("unauthenticated")
        ) as mesh:
            with await mesh.connect() as wire:
                assert await wire.was_reset() == b""
            record = await mesh.record()
    assert record["outcome"] == "upstream_timeout"
    assert record["detail"] == "no answer in 10 seconds"


async def test_an_application_that_resets_is_reported_as_such() -> None:
    async def resets(wire: Wire) -> None:
        await wire.receive()
        wire.reset()

    async with (
        application(resets) as app,
        running(configuration(to=app.endpoint), allow("web")) as mesh,
    ):
        with await mesh.connect() as wire:
            tls = await client(wire, svid("web")).handshake()
            await tls.send(b"hello")
            with pytest.raises(ConnectionResetError):
                await tls.receive()
        record = await mesh.record()
    assert record["outcome"] == "reset_by_upstream"


async def test_a_truncated_question_is_a_reset_for_the_application() -> None:
    """RFC 8446, 6.1."""
    ends: list[str] = []

    async def listens(wire: Wire) -> None:
        try:
            ends.append((await wire.receive_all()).decode())
        except ConnectionResetError:
            ends.append("reset")

    async with (
        application(listens) as app,
        running(configuration(to=app.endpoint), allow("web")) as mesh,
    ):
        with await mesh.connect() as wire:
            await (await client(wire, svid("web")).handshake()).send(b"half a")
            wire.end()
            record = await mesh.record()
        await trio.testing.wait_all_tasks_blocked()
    assert record["outcome"] == "truncated"
    assert ends == ["reset"]


async def test_a_policy_that_changes_holds_for_the_next_connection() -> None:
    async with (
        application() as app,
        running(configuration(to=app.endpoint), allow("web")) as mesh,
    ):
        with await mesh.connect() as wire:
            tls = await client(wire, svid("web")).handshake()
            await tls.send(b"hello")
            assert await tls.receive() == b"hello"
            mesh.mesh.policy = compile_policy(Policy())
            assert await seen_by_a_denied_peer(mesh, "web") == b""
            await tls.send(b"still here")
            assert await tls.receive() == b"still here"
            await tls.end()
            assert await tls.receive() == b""
        records = await mesh.records(2)
    assert [each["outcome"] for each in records] == ["denied", "completed"]
