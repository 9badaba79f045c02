"""Ensures that no odd packet slips by the rules to the application itself.

The sidecar is away: what the rules redirect finds nobody, and what they do not would
be answered by the application.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from tests.netns.captures import ACK, ROUTING, SYN, TCP
from tests.netns.frames import Extra
from tests.netns.invitations import answers, invitation
from tests.netns.pods import new_source
from tests.netns.world import APP, EXCLUDED_IN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.netns.frames import Frame
    from tests.netns.world import World

EXTRAS: Mapping[bool, Mapping[str, Extra]] = {
    False: {
        "no operation": Extra(0, bytes([1, 1, 1, 0])),  # RFC 791, 3.1
        "record route": Extra(0, bytes([7, 7, 4]) + bytes(5)),
        "router alert": Extra(0, bytes([148, 4, 0, 0])),  # RFC 2113
    },
    True: {  # RFC 8200, 4: padding is option 1, of four bytes here
        "hop by hop": Extra(0, bytes([TCP, 0, 1, 4]) + bytes(4)),
        "destination options": Extra(60, bytes([TCP, 0, 1, 4]) + bytes(4)),
        "an ended route": Extra(ROUTING, bytes([TCP, 0, 0, 0]) + bytes(4)),
        "the only fragment": Extra(44, bytes([TCP, 0, 0, 0]) + bytes(4)),
    },
}


def taken(world: World, frames: Mapping[str, Frame]) -> set[str]:
    """Send *frames*, and say which are taken up."""
    accepted = SYN | ACK
    said = answers(world, frames).items()
    return {name for name, flags in said if flags & accepted == accepted}


def odd(frame: Frame, extras: Mapping[str, Extra]) -> dict[str, Frame]:
    """Give it with all flags there are, and with all that can be before TCP."""
    changed = {f"{flags:08b}": evolve(frame, flags=flags) for flags in range(256)}
    changed |= {name: evolve(frame, extra=extra) for name, extra in extras.items()}
    return {
        name: evolve(each, source_port=new_source()) for name, each in changed.items()
    }


def test_it_is_taken_by_the_application_of_an_excluded_port_alone(
    world: World, ipv6: bool
) -> None:
    """Conntrack, which redirecting needs, finds some of the flags invalid."""
    guarded, excluded = (
        odd(invitation(world, world.api.pod.addresses[ipv6], port), EXTRAS[ipv6])
        for port in (APP, EXCLUDED_IN)
    )
    with world.api.killed():
        assert taken(world, guarded) == set()
        assert taken(world, excluded) >= {f"{SYN:08b}", *EXTRAS[ipv6]}
