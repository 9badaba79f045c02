from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from attrs import evolve

from sidecar.config.model import (
    Config,
    Drain,
    Endpoint,
    Inbound,
    Mode,
    Outbound,
    PortSettings,
    Route,
    RouteMode,
)
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policy.compile import compile_policy
from sidecar.policy.model import Action, Policy, Rule
from sidecar.policy.pattern import parse_pattern
from sidecar.proxy.connection import Connection, Generations
from sidecar.proxy.recheck import Recheck, admit_again, live_of
from sidecar.proxy.routes import RouteTable
from sidecar.telemetry.labels import Direction, Outcome
from sidecar.tls.credentials import Credentials
from tests.support.mesh import (
    DOMAIN,
    Running,
    Tls,
    Truncated,
    allow,
    application,
    authority,
    client,
    configuration,
    echo_tls,
    now,
    rule,
    running,
    speaks_tls,
    spiffe_id,
    svid,
)
from tests.support.pki import new_authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

    from sidecar.config.material import Material
    from sidecar.identity.svid import Svid

OUTBOUND = Direction.OUTBOUND
DENY = Action.DENY
LOOPBACK = ipaddress.ip_network("127.0.0.0/8")


def publish(mesh_of: Running, *rules: Rule, trust: Material | None = None) -> None:
    """Have other rules, and other trust, in force from now on."""
    mesh, before = mesh_of.mesh, mesh_of.mesh.generations
    if trust is not None:
        mesh.credentials = Credentials(
            trust, mesh.config.tls, mesh.credentials.generation + 1
        )
    else:
        mesh.policy = compile_policy(Policy(rules=rules))
    mesh.put_in_force(
        Generations(before.config, before.policy + 1, before.identity + 1)
    )


def reconfigure(mesh_of: Running, **sections: Any) -> None:
    mesh = mesh_of.mesh
    mesh.config = evolve(mesh.config, **sections)
    mesh.routes = RouteTable(mesh.config.outbound, mesh.hosts.addresses)
    mesh.put_in_force(evolve(mesh.generations, config=mesh.generations.config + 1))


async def judged(recheck: Recheck, running: Running) -> None:
    """Wait until everything has been judged by what is in force."""
    with trio.fail_after(20):
        while recheck.seen is not running.mesh.generations:
            await trio.lowlevel.checkpoint()


@contextlib.asynccontextmanager
async def watched(running: Running) -> AsyncIterator[Recheck]:
    recheck = Recheck(running.mesh)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recheck.run)
        yield recheck
        nursery.cancel_scope.cancel()


async def caller(running: Running, who: Svid) -> Tls:
    """Connect as *who*, and wait until the application has answered."""
    tls = await client(await running.connect(), who).handshake()
    return await answered(tls)


async def answered(tls: Tls) -> Tls:
    await tls.send(b"hello")
    assert await tls.receive() == b"hello"
    return tls


async def test_a_policy_ends_whom_it_admits_no_more_and_nobody_else() -> None:
    async with (
        application() as app,
        running(configuration(to=app.endpoint), allow("cart", "web")) as started,
        watched(started) as recheck,
    ):
        carts = [await caller(started, svid("cart")) for _ in range(3)]
        web = await caller(started, svid("web"))
        publish(started, allow("web", name="only-web"))
        for each in carts:
            await each.wire.was_reset()
            each.wire.sock.close()
        await judged(recheck, started)
        await answered(web)
        records = await started.records(3)
        assert {each["outcome"] for each in records} == {"policy_revoked"}
        assert {each["peer"] for each in records} == {spiffe_id("cart")}
        assert {each["policy_generation"] for each in records} == {2}
        assert "only-web" in records[0]["detail"]
        counted = started.samples().sum(
            "sidecar_connections_total", outcome="policy_revoked", direction="inbound"
        )
        assert counted == 3
        web.wire.sock.close()
        await started.records(4)


async def test_a_deny_rule_is_named_in_the_record() -> None:
    async with (
        application() as app,
        running(configuration(to=app.endpoint), allow("cart")) as started,
        watched(started),
    ):
        cart = await caller(started, svid("cart"))
        publish(started, allow("cart"), rule(DENY, "cart", name="no-cart"))
        with cart.wire:
            await cart.wire.was_reset()
        record = await started.record()
        assert record["detail"] == "denied by the rule 'no-cart' now"
        assert record["rule"] == "allowed"  # which let it in


async def test_dry_runs_and_audit_end_nothing() -> None:
    async with (
        application() as app,
        running(configuration(to=app.endpoint), allow("cart")) as started,
        watched(started) as recheck,
    ):
        cart = await caller(started, svid("cart"))
        publish(started, allow("cart"), rule(DENY, "cart", name="no", dry_run=True))
        await judged(recheck, started)
        await answered(cart)
        cart.wire.sock.close()
        assert (await started.record())["outcome"] == "truncated"


async def test_a_port_that_becomes_strict_ends_its_plaintext() -> None:
    async with (
        application() as app,
        running(
            configuration(Inbound(mode=Mode.DISABLED), to=app.endpoint),
            allow("unauthenticated"),
        ) as started,
        watched(started),
    ):
        with await started.connect() as plain:
            await plain.send(b"hello")
            assert await plain.receive() == b"hello"
            strict = evolve(started.mesh.config.inbound, mode=Mode.STRICT)
            reconfigure(started, inbound=strict)
            await plain.was_reset()
        record = await started.record()
        assert record["outcome"] == "policy_revoked"
        assert (record["policy_generation"], record["config_generation"]) == (1, 2)


@pytest.mark.parametrize(
    ("change", "outcome", "reason"),
    [
        ("crl", "peer_revoked", "revoked"),
        ("bundle", "peer_untrusted", "untrusted_chain"),
        ("domain", "bundle_withdrawn", "unknown_trust_domain"),
    ],
)
async def test_trust_that_is_withdrawn_ends_those_concerned(
    change: str, outcome: str, reason: str
) -> None:
    ours, partner = "example.org", "partner.test"
    partner_cart = spiffe_id("cart", partner)
    async with (
        application() as app,
        running(
            configuration(to=app.endpoint),
            allow("cart", partner_cart),
            partners=(partner,),
        ) as started,
        watched(started) as recheck,
    ):
        stays = await caller(started, svid("cart", ours))
        goes = await caller(started, svid("cart", partner))
        before = started.mesh.credentials.material
        serial = svid("cart", partner).leaf.serial_number
        bundles = dict(before.bundles)
        if change == "crl":
            lists = (authority(partner).crl([serial], now=now()),)
            trust = evolve(before, crls=lists)
        elif change == "bundle":
            bundles[partner] = new_authority(partner).bundle
            trust = evolve(before, bundles=bundles)
        else:
            del bundles[partner]
            trust = evolve(before, bundles=bundles)
        publish(started, trust=trust)
        with goes.wire:
            await goes.wire.was_reset()
        await judged(recheck, started)
        await answered(stays)
        record = await started.record()
        assert (record["outcome"], record["reason"]) == (outcome, reason)
        assert record["peer"] == partner_cart
        assert record["generation"] == 1  # that of its handshake
        stays.wire.sock.close()


async def test_what_was_made_with_an_identity_taken_from_us_is_ended() -> None:
    """And none that another of our identities was shown to."""
    async with (
        application() as app,
        running(configuration(to=app.endpoint), allow("cart")) as started,
        watched(started) as recheck,
    ):
        ports = {app.endpoint.port: PortSettings(identity="pays")}
        first = await caller(started, svid("cart"))
        before = started.mesh.credentials.material
        with_two = evolve(before, additional={"pays": svid("billing")})
        publish(started, trust=with_two)
        reconfigure(started, inbound=evolve(started.mesh.config.inbound, ports=ports))
        second = await caller(started, svid("cart"))
        only_first = frozenset([before.svid.name])
        publish(started, trust=evolve(with_two, granted=only_first))
        with second.wire:
            await second.wire.was_reset()
        await judged(recheck, started)
        await answered(first)
        record = await started.record()
        assert record["outcome"] == "identity_withdrawn"
        assert record["reason"] == "no_identity"
        billing = spiffe_id("billing")
        assert record["detail"].startswith(f"{billing}, which we were to the peer")
        first.wire.sock.close()


async def test_a_peer_whose_certificate_expires_is_ended() -> None:
    cart = SpiffeId.parse(spiffe_id("cart"))
    brief = authority(DOMAIN).issue(cart, now=now(), lifetime=dt.timedelta(seconds=2))
    async with (
        application() as app,
        running(configuration(to=app.endpoint), allow("cart")) as started,
        watched(started),
    ):
        stays = await caller(started, svid("cart"))
        goes = await caller(started, brief)
        with goes.wire:
            await goes.wire.was_reset()
        assert now() >= brief.not_valid_after
        await answered(stays)
        record = await started.record()
        assert (record["outcome"], record["reason"]) == ("peer_expired", "expired")
        stays.wire.sock.close()


async def test_a_list_that_is_out_of_date_ends_those_that_it_may_name() -> None:
    """New ones are refused then, too."""
    soon = authority(DOMAIN).crl([], now=now(), lifetime=dt.timedelta(seconds=1))
    async with (
        application() as app,
        running(configuration(to=app.endpoint), allow("cart")) as started,
        watched(started),
    ):
        trust = evolve(started.mesh.credentials.material, crls=(soon,))
        publish(started, trust=trust)
        cart = await caller(started, svid("cart"))
        with cart.wire:
            await cart.wire.was_reset()
        assert (await started.record())["outcome"] == "peer_untrusted"


async def test_a_server_that_its_route_expects_no_more_is_ended() -> None:
    async with (
        application(speaks_tls(svid("db"), echo_until_reset)) as db,
        running(routed("db", db.endpoint)) as started,
        watched(started),
    ):
        with await started.connect(OUTBOUND) as wire:
            await wire.send(b"hello")
            assert await wire.receive() == b"hello"
            reconfigure(started, outbound=routed("other", db.endpoint).outbound)
            await wire.was_reset()
        record = await started.record()
        assert record["outcome"] == "policy_revoked"
        assert record["reason"] == "unexpected_peer"


async def echo_until_reset(tls: Tls) -> None:
    with contextlib.suppress(ConnectionResetError, Truncated):
        await echo_tls(tls)


def routed(peer: str, to: Endpoint, mode: RouteMode = RouteMode.MTLS) -> Config:
    peers = (parse_pattern(spiffe_id(peer)),) if mode is RouteMode.MTLS else ()
    route = Route("db", (LOOPBACK,), None, mode, peers)
    return configuration(outbound=Outbound(routes=(route,)), to=to)


async def test_plaintext_that_has_to_be_mutual_tls_now_is_ended() -> None:
    async with (
        application() as db,
        running(routed("db", db.endpoint, RouteMode.PLAINTEXT)) as started,
        watched(started),
    ):
        with await started.connect(OUTBOUND) as wire:
            await wire.send(b"hello")
            assert await wire.receive() == b"hello"
            reconfigure(started, outbound=routed("db", db.endpoint).outbound)
            await wire.was_reset()
        assert (await started.record())["outcome"] == "policy_revoked"


# --- Left time to end by themselves


def draining(to: Endpoint) -> Config:
    return configuration(to=to, drain=Drain(revoked_seconds=10))


async def test_who_is_left_time_is_ended_when_it_is_over(clock: MockClock) -> None:
    async with (
        application() as app,
        running(draining(app.endpoint), allow("cart")) as started,
        watched(started) as recheck,
    ):
        cart = await caller(started, svid("cart"))
        began = trio.current_time()
        publish(started)
        await judged(recheck, started)
        await trio.sleep(9)
        await answered(cart)
        with pytest.raises(ConnectionResetError):
            await cart.wire.sock.recv(1)
        assert 10 <= trio.current_time() - began < 11
        cart.wire.sock.close()
        assert (await started.record())["outcome"] == "policy_revoked"
        assert not recheck._leaving


async def test_who_ends_by_itself_in_its_time_is_reported_so(clock: MockClock) -> None:
    async with (
        application() as app,
        running(draining(app.endpoint), allow("cart")) as started,
        watched(started) as recheck,
    ):
        cart = await caller(started, svid("cart"))
        publish(started)
        await judged(recheck, started)
        await cart.end()
        assert await cart.receive() == b""
        cart.wire.sock.close()
        assert (await started.record())["outcome"] == "completed"
        await trio.sleep(2)
        assert not recheck._leaving


async def test_who_is_let_in_again_in_its_time_stays(clock: MockClock) -> None:
    async with (
        application() as app,
        running(draining(app.endpoint), allow("cart")) as started,
        watched(started) as recheck,
    ):
        cart = await caller(started, svid("cart"))
        publish(started)
        await judged(recheck, started)
        assert len(recheck._leaving) == 1
        publish(started, allow("cart"))
        await judged(recheck, started)
        assert not recheck._leaving
        await trio.sleep(11)
        await answered(cart)
        cart.wire.sock.close()


async def test_a_second_change_gives_no_more_time(clock: MockClock) -> None:
    async with (
        application() as app,
        running(draining(app.endpoint), allow("cart")) as started,
        watched(started) as recheck,
    ):
        cart = await caller(started, svid("cart"))
        publish(started)
        await judged(recheck, started)
        (deadline,) = recheck._leaving.values()
        await trio.sleep(5)
        publish(started)
        await judged(recheck, started)
        assert [*recheck._leaving.values()] == [deadline]
        cart.wire.sock.close()


# --- Changes while a connection is on its way


async def test_what_changes_during_a_handshake_counts_at_its_end() -> None:
    """It began under the old trust: only before it is relayed is it judged by ours."""
    cart = svid("cart")
    async with (
        application() as app,
        running(configuration(to=app.endpoint), allow("cart")) as started,
        watched(started) as recheck,
    ):
        with await started.connect() as wire:
            await started.wait_open(1)
            await trio.testing.wait_all_tasks_blocked()
            tls = client(wire, cart)
            revoked = authority(DOMAIN).crl([cart.leaf.serial_number], now=now())
            async with trio.open_nursery() as nursery:

                async def shake() -> None:
                    with contextlib.suppress(ConnectionError):
                        await tls.handshake()

                nursery.start_soon(shake)
                while not started.mesh.inbound_gate._running:
                    await trio.lowlevel.checkpoint()
                before = started.mesh.credentials.material
                publish(started, trust=evolve(before, crls=(revoked,)))
            await judged(recheck, started)
            await wire.was_reset_or_ended()
        record = await started.record()
        assert (record["outcome"], record["reason"]) == ("peer_revoked", "revoked")
        assert "received" not in record or record["received"] == 0


async def test_a_connection_that_is_not_relayed_is_not_judged_before() -> None:
    async with running(configuration()) as started:
        new = Connection(Direction.INBOUND, Endpoint("10.0.0.1", 1), 0.0)
        assert live_of(new, started.mesh.credentials.still) is None
        admit_again(started.mesh, new)
        assert new.generations is started.mesh.generations


# --- Many


async def test_the_others_have_their_turns_while_many_are_judged() -> None:
    """Judging goes on in slices: a task that is always ready runs in between."""
    async with running(configuration()) as started:
        mesh = started.mesh
        for port in range(1, 5001):
            each = Connection(Direction.INBOUND, Endpoint("10.0.0.1", port), 0.0)
            each.destination = Endpoint("10.0.0.2", 80)
            each.flow = _Flow()  # type: ignore[assignment]
            mesh.connections.add(each)
        turns = 0
        async with watched(started) as recheck:
            await trio.testing.wait_all_tasks_blocked()
            publish(started)
            while recheck.seen is not mesh.generations:
                turns += 1
                await trio.lowlevel.checkpoint()
        assert turns > 10
        cut = [each.cut for each in mesh.connections]
        assert all(each and each.outcome is Outcome.POLICY_REVOKED for each in cut)
        for each in mesh.connections:
            mesh.connections.remove(each)


class _Flow:
    ending = None
