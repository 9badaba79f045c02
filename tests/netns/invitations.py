"""Invitations to connect that the hostile pod makes by hand, and who takes them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.netns.frames import Frame, mac_of, send
from tests.netns.pods import new_source
from tests.netns.world import APP, EXCLUDED_IN
from tests.support.deadlines import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.netns.world import World


def invitation(world: World, destination: str, port: int = APP) -> Frame:
    """Make a SYN of the hostile pod that the api's card gets, whoever it is for."""
    sender, to = mac_of(world.hostile), mac_of(world.api.pod)
    source = world.hostile.addresses[":" in destination]
    return Frame(to, sender, source, new_source(), destination, port)


def answers(world: World, frames: Mapping[str, Frame]) -> dict[str, int]:
    """Send *frames*; give the flags of all that the api's card sent because of each.

    Last comes an honest one, whose answer is the sign that all had their turn.
    """
    ipv6 = ":" in next(iter(frames.values())).destination
    honest = invitation(world, world.api.pod.addresses[ipv6], EXCLUDED_IN)
    sender = mac_of(world.api.pod)
    with world.hub.capture("api") as seen:
        send(world.hostile, *frames.values(), honest)

        def said() -> Counter[str]:
            """Tell by the port, which nobody else has, to or from whomever."""
            flags: Counter[str] = Counter()
            for each in seen.segments():
                if each.sender == sender:
                    for end in (each.source, each.destination):
                        flags[end.rpartition(":")[2]] |= each.flags
            return flags

        eventually(lambda: said()[str(honest.source_port)], "the honest one's answer")
        by_port = said()
    found = {name: by_port[str(each.source_port)] for name, each in frames.items()}
    return {name: flags for name, flags in found.items() if flags}
