from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from sidecar.config.model import Endpoint
from sidecar.redirect.call import listening
from sidecar.redirect.doctor.facts import Aim, Fate
from sidecar.redirect.model import Family
from sidecar.redirect.options import parse_options
from sidecar.redirect.probing import Deadline, Probing
from tests.support.ports import free_port

# Captured is what nothing is sent to from here; tests/netns has pods for it.
NOWHERE = parse_options(
    {
        "include_outbound_cidrs": "127.0.0.0/8,::1/128",
        "outbound_port": str(free_port()),
    },
    {},
).redirect


@pytest.fixture
def probing() -> Probing:
    return Probing(NOWHERE, (), Deadline(time.monotonic() + 10))


def test_a_connection_on_loopback_arrives_and_one_without_a_route_is_not_made(
    probing: Probing,
) -> None:
    fates = {each.aim: each.fate for each in probing.probes(Family.IPV4)}
    assert fates == {Aim.LOOPBACK: Fate.ARRIVED, Aim.CAPTURED: Fate.NOWHERE}


def test_a_service_is_called(probing: Probing) -> None:
    with listening("127.0.0.1", 0) as listener:
        assert listener is not None
        address = Endpoint(*listener.getsockname())
        assert probing.service(address).reached == address
    service = probing.service(Endpoint("127.0.0.1", free_port()))
    assert (service.reached, service.why_not) == (None, "it was refused at once")


def test_what_there_is_no_time_for_is_not_tried() -> None:
    late = Probing(NOWHERE, (), Deadline(time.monotonic()))
    probes = list(late.probes(Family.IPV4))
    assert {each.fate for each in probes} == {Fate.UNTRIED, Fate.NOWHERE}
    assert "--timeout" in probes[-1].why_not
    assert "--timeout" in late.service(Endpoint("127.0.0.1", 9)).why_not


def test_where_somebody_listens_already_nobody_stands_in(probing: Probing) -> None:
    with ExitStack() as stack:
        probing.stand_in(stack, [Family.IPV4])
        assert probing.standing_in.keys() == {Family.IPV4}
        second = Probing(NOWHERE, (), Deadline(time.monotonic() + 10))
        second.stand_in(stack, [Family.IPV4])
        assert second.standing_in == {}
