"""What was seen in a pod, before anybody has judged it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.config.model import Config, Endpoint
    from sidecar.policy.model import Policy
    from sidecar.redirect.doctor.answers import Answers
    from sidecar.redirect.doctor.processes import Process
    from sidecar.redirect.doctor.sockets import Socket
    from sidecar.redirect.model import Backend, Family, Redirect


@frozen
class Tables:
    """What iptables-save of one backend says of one family.

    Attributes:
        text: What it wrote; None where it failed.
        refusal: Why it failed.
        absent: It failed because this kernel has no such tables.
    """

    backend: Backend
    family: Family
    text: str | None
    refusal: str = ""
    absent: bool = False


class Aim(StrEnum):
    """What a connection that the doctor makes has to do."""

    CAPTURED = "captured"
    """Go to the sidecar."""
    PROXY = "proxy"
    """Go past it, as the sidecar's own user made it."""
    EXCLUDED = "excluded"
    """Go past it, as the options say."""
    LOOPBACK = "loopback"
    """Arrive where it was sent, on the loopback address."""
    ANSWER = "answer"
    """Get its answer, though it comes from somebody else's address: TPROXY."""
    OWN_ADDRESS = "own-address"
    """Arrive where it was sent, on the pod's address."""


class Fate(StrEnum):
    """What became of it."""

    ARRIVED = "arrived"
    """A socket of this pod has it."""
    ANSWERED = "answered"
    """Somebody accepted it, and no socket of this pod has it."""
    REFUSED = "refused"
    LEFT = "left"
    """Nobody accepted it: it left the pod, or was dropped."""
    NOWHERE = "nowhere"
    """There is nowhere to send it: to an address of loopback that the pod lacks, or out
    of a pod that has no way."""
    UNTRIED = "untried"
    """It could not be made, or met no rule."""


@frozen
class Probe:
    """A connection that the doctor made.

    Attributes:
        target: Where it was sent; None where there was nowhere to send it.
        at: The socket that has it.
        why_not: Why it is untried.
        stood_in: The doctor listened in the sidecar's place, and accepted it.
        original: Then: where the kernel says that it was going.
    """

    aim: Aim
    family: Family
    target: Endpoint | None
    fate: Fate
    at: Socket | None = None
    why_not: str = ""
    stood_in: bool = False
    original: Endpoint | None = None


@frozen
class Service:
    """A connection to a service address.

    Attributes:
        called: The address that was called.
        reached: Which one the socket then had; None where it could not be seen.
    """

    called: Endpoint
    reached: Endpoint | None
    why_not: str = ""


@frozen
class Intent:
    """What the configuration believes."""

    config: Config
    policy: Policy


@frozen
class Facts:
    """All that was seen.

    Attributes:
        redirect: What the options ask for.
        tables: What iptables-save says; empty where it could not be asked.
        tables_unseen: Why it could not.
        families: Those in which the pod can be reached; at least one.
        ipv6_interfaces: Which have an address of IPv6; loopback does not count.
        uid: Of this process, as is gid.
        processes: Those of this network namespace that are to be seen.
        sockets: Those of the pod that listen, before any of the doctor's did.
        before_start: The sidecar does not run yet, and that is as it should be.
        intent: None where no configuration was named.
        answers: The routing of each family, where TPROXY is asked for; or why it
            could not be read.
        transparent: The inodes of the listeners that take what TPROXY hands over;
            None where the kernel does not tell.
        addresses: Those of the host names that its routes name, as far as known.
    """

    redirect: Redirect
    tables: tuple[Tables, ...]
    tables_unseen: str
    families: tuple[Family, ...]
    ipv6_interfaces: tuple[str, ...]
    pid: int
    uid: int
    gid: int
    processes: tuple[Process, ...]
    sockets: tuple[Socket, ...]
    probes: tuple[Probe, ...]
    services: tuple[Service, ...]
    before_start: bool = False
    intent: Intent | None = None
    answers: Mapping[Family, Answers | str] = field(factory=dict)
    transparent: frozenset[int] | None = None
    addresses: Mapping[str, tuple[str, ...]] = field(factory=dict)
