"""An engine for one test, and what it is to carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.relay.relaying import Kind, Relay, Side, relaying

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def relay(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Relay]:
    """An engine at work. It logs what is a bug, and nothing else."""
    async with relaying() as relay:
        yield relay
    assert caplog.records == []


@pytest.fixture
async def by_hand(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Relay]:
    """An engine that takes its turns when the test says so."""
    async with relaying(running=False) as relay:
        yield relay
    assert caplog.records == []


@pytest.fixture(params=Kind, ids=lambda kind: kind.value)
def kind(request: pytest.FixtureRequest) -> Kind:
    kind: Kind = request.param
    return kind


@pytest.fixture(
    params=[Kind.TLS_DOWNSTREAM, Kind.TLS_UPSTREAM], ids=lambda kind: kind.value
)
def tls_kind(request: pytest.FixtureRequest) -> Kind:
    kind: Kind = request.param
    return kind


@pytest.fixture(params=Side, ids=lambda side: side.value)
def side(request: pytest.FixtureRequest) -> Side:
    side: Side = request.param
    return side
