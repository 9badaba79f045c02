from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from attrs import evolve
from trio.testing import MockClock

from sidecar.admin.readiness import Readiness
from sidecar.certs.authority import Authority
from sidecar.config.model import Tls
from sidecar.expiry import nearly_over, watch_own_certificate
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.tls.credentials import Credentials, NoCredentials
from tests.support.mesh import configuration, material, running, svid as mesh_svid

if TYPE_CHECKING:
    from sidecar.identity.svid import Svid

NOON = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)


@pytest.fixture
def clock() -> MockClock:
    return MockClock(autojump_threshold=0)


def svid(lifetime: dt.timedelta, begin: dt.datetime = NOON) -> Svid:
    """One that lives for exactly *lifetime* from *begin*."""
    authority = Authority.create("example.org", now=begin - DAY, lifetime=90 * DAY)
    backdated = dt.timedelta(minutes=2)
    return authority.issue(
        SpiffeId.parse("spiffe://example.org/ns/shop/sa/api"),
        now=begin + backdated,
        lifetime=lifetime - backdated,
    )


@pytest.mark.parametrize(
    ("lifetime", "last_part"),
    [
        (10 * dt.timedelta(minutes=1), 60 * SECOND),
        (40 * dt.timedelta(minutes=1), 240 * SECOND),
        (HOUR, 300 * SECOND),
        (30 * DAY, 300 * SECOND),
    ],
)
def test_the_last_tenth_of_a_life_is_five_minutes_at_most(
    lifetime: dt.timedelta, last_part: dt.timedelta
) -> None:
    ours, end = svid(lifetime), NOON + lifetime
    assert nearly_over(ours, end - last_part - SECOND) is None
    assert nearly_over(ours, end - last_part) is not None


def test_what_is_wrong_says_when_it_ends() -> None:
    ours = svid(HOUR)
    assert nearly_over(ours, NOON + HOUR - 90 * SECOND) == (
        "our own certificate expires in 1 minute, 2030-01-01 13:00:00 UTC"
    )
    assert nearly_over(ours, NOON + HOUR + 12 * SECOND) == (
        "our own certificate expired 12 seconds ago, 2030-01-01 13:00:00 UTC"
    )


async def test_readiness_fails_before_the_end_and_comes_back(clock: MockClock) -> None:
    async with running(configuration()) as started, trio.open_nursery() as nursery:
        mesh, readiness = started.mesh, Readiness(["identity"])
        readiness.done("identity")
        begin = trio.current_time()

        def now() -> dt.datetime:
            return NOON + (trio.current_time() - begin) * SECOND

        def take(ours: Svid) -> None:
            mesh.credentials = Credentials(material(ours), Tls(), 2, now)

        take(svid(10 * dt.timedelta(minutes=1)))
        nursery.start_soon(watch_own_certificate, mesh, readiness, now)
        await trio.sleep(539)
        assert readiness.ready
        await trio.sleep(2)
        assert not readiness.ready
        (why,) = readiness.pending()
        assert why.startswith("identity: our own certificate expires in ")
        take(svid(HOUR))
        await trio.sleep(2)
        assert readiness.ready
        nursery.cancel_scope.cancel()


async def test_nothing_is_said_of_what_is_not_there_yet_and_all_of_what_is_not_ours(
    clock: MockClock,
) -> None:
    async with running(configuration()) as started, trio.open_nursery() as nursery:
        mesh, readiness = started.mesh, Readiness(["identity"])
        mesh.credentials = NoCredentials(1)
        nursery.start_soon(watch_own_certificate, mesh, readiness)
        await trio.sleep(3)
        assert readiness.pending() == ("identity",)
        mesh.credentials = Credentials(
            material(svid(HOUR, dt.datetime.now(dt.UTC) - 2 * HOUR)), Tls()
        )
        await trio.sleep(2)
        (why,) = readiness.pending()
        assert "expired" in why
        mesh.credentials = Credentials(
            material(svid(HOUR, dt.datetime.now(dt.UTC))), Tls()
        )
        mesh.credentials.withdrawn = "it was taken from us"
        readiness.failed("identity", "it was taken from us")
        await trio.sleep(2)
        assert readiness.pending() == ("identity: it was taken from us",)
        mesh.credentials = Credentials(
            material(svid(HOUR, dt.datetime.now(dt.UTC))), Tls()
        )
        await trio.sleep(2)
        assert readiness.ready
        nursery.cancel_scope.cancel()


async def test_each_of_our_identities_has_to_be_ours(clock: MockClock) -> None:
    both = evolve(material(mesh_svid("api")), additional={"pays": mesh_svid("billing")})
    async with running(configuration()) as started, trio.open_nursery() as nursery:
        mesh, readiness = started.mesh, Readiness(["identity"])
        readiness.done("identity")
        only_first = frozenset([both.svid.name])
        mesh.credentials = Credentials(evolve(both, granted=only_first), Tls())
        nursery.start_soon(watch_own_certificate, mesh, readiness)
        await trio.sleep(2)
        (why,) = readiness.pending()
        billing = mesh_svid("billing").name
        assert why == f"identity: identity 'pays': {billing} was taken from us"
        mesh.credentials = Credentials(both, Tls())
        await trio.sleep(2)
        assert readiness.ready
        nursery.cancel_scope.cancel()
