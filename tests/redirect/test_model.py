from __future__ import annotations

from sidecar.redirect.model import Family, Ports


def test_ports_are_written_as_they_are_read() -> None:
    assert [str(Ports(80, 80)), str(Ports(80, 90))] == ["80", "80-90"]


def test_a_range_covers_what_lies_within_it() -> None:
    wide = Ports(80, 90)
    assert wide.covers(Ports(80, 90))
    assert wide.covers(Ports(85, 85))
    assert not wide.covers(Ports(79, 81))
    assert not wide.covers(Ports(90, 91))


def test_families_know_their_version() -> None:
    assert {each: each.version for each in Family} == {"ipv4": 4, "ipv6": 6}
