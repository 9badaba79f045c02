"""The options of `sidecar policy explain` as what is asked; every problem at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen

from sidecar.config.address import AddressError, parse_address
from sidecar.config.wording import shown
from sidecar.identity.spiffe_id import SpiffeIdError, parse_trust_domain
from sidecar.policytools.destination import (
    DestinationError,
    parse_names,
    parse_to,
)
from sidecar.policytools.peer_text import PeerTextError, parse_peer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.config.model import Endpoint
    from sidecar.identity.peer import Peer
    from sidecar.policytools.entry import Address
    from sidecar.policytools.outbound import Names

_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")
_HIGHEST: Final = 65535


class QuestionError(ValueError):
    """The options cannot be understood; carries every problem, at least one."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


@frozen(kw_only=True)
class Asked:
    """Options, as they were given; None and () where they were not."""

    peers: tuple[str, ...] = ()
    unauthenticated: bool = False
    certificate: bool = False
    trust_domain: str | None = None
    port: str | None = None
    source: str | None = None
    to: str | None = None
    resolve: tuple[str, ...] = ()

    @property
    def given(self) -> list[str]:
        """The options that were given."""
        values = {
            "--peer": self.peers,
            "--unauthenticated": self.unauthenticated,
            "--certificate": self.certificate,
            "--trust-domain": self.trust_domain,
            "--port": self.port,
            "--source": self.source,
            "--to": self.to,
            "--resolve": self.resolve,
        }
        return [option for option, value in values.items() if value]


@frozen
class Way:
    """Where the application connects to, and who answers there.

    Attributes:
        to: As the application calls it.
        names: The addresses of host names, as far as they were said.
        peer: Who answers; None where that is not asked, or a certificate says it.
    """

    to: Endpoint
    names: Names
    peer: Peer | None


@frozen
class View:
    """From where everybody connects to every port; None where that was not said."""

    source: Address | None


@frozen
class Question:
    """Who connects, to which port, from where.

    Attributes:
        peer: None for unauthenticated; and where a certificate is to say it.
        source: None where it was not said.
    """

    peer: Peer | None
    port: int
    source: Address | None


def parse_question(asked: Asked) -> Question:
    """Parse what is asked about a connection to the application.

    Raises:
        QuestionError: The options cannot be understood. No other exception escapes.
    """
    problems: list[str] = []
    if asked.resolve:
        problems.append("--resolve: is about where a connection goes, and needs --to")
    peer = _peer(asked, problems)
    port = _port(asked.port, problems)
    source = None if asked.source is None else _source(asked.source, problems)
    if problems or port is None:
        raise QuestionError(problems)
    return Question(peer, port, source)


def parse_view(asked: Asked) -> View:
    """Parse what is asked of everybody at every port.

    Raises:
        QuestionError: The options cannot be understood. No other exception escapes.
    """
    why = "--matrix shows everybody at every port (remove one of them)"
    problems = [f"{option}: {why}" for option in asked.given if option != "--source"]
    source = None if asked.source is None else _source(asked.source, problems)
    if problems:
        raise QuestionError(problems)
    return View(source)


def parse_way(asked: Asked) -> Way:
    """Parse what is asked about a connection of the application.

    Raises:
        QuestionError: The options cannot be understood. No other exception escapes.
    """
    problems: list[str] = []
    for option, given in (
        ("--unauthenticated", asked.unauthenticated),
        ("--source", asked.source is not None),
    ):
        if given:
            what = "is about who connects to the application (remove it, or --to)"
            problems.append(f"{option}: {what}")
    peer = None
    if asked.peers or asked.certificate:
        peer = _peer(evolve(asked, unauthenticated=False), problems)
        if asked.peers and peer is None and not problems:
            problems.append("--peer: a server always shows a certificate")
    to = names = None
    try:
        to = parse_to(asked.to or "", asked.port)
    except DestinationError as error:
        problems.append(f"--to: {error}")
    try:
        names = parse_names(asked.resolve)
    except DestinationError as error:
        problems.append(f"--resolve: {error}")
    if problems or to is None or names is None:
        raise QuestionError(problems)
    return Way(to, names, peer)


def _peer(asked: Asked, problems: list[str]) -> Peer | None:
    given = [
        option
        for option, is_given in (
            ("--peer", bool(asked.peers)),
            ("--unauthenticated", asked.unauthenticated),
            ("--certificate", asked.certificate),
        )
        if is_given
    ]
    if len(given) != 1:
        what = "expected one of --peer, --certificate and --unauthenticated to say who"
        problems.append(f"{what} connects, got {' and '.join(given) or 'none'}")
    if asked.trust_domain is not None:
        if not asked.peers:
            problems.append("--trust-domain: is that of a --peer, got none")
        try:
            parse_trust_domain(asked.trust_domain)
        except SpiffeIdError as error:
            problems.append(f"--trust-domain: {error}")
            return None
    if not asked.peers:
        return None
    try:
        return parse_peer(asked.peers, asked.trust_domain)
    except PeerTextError as error:
        problems.append(f"--peer: {error}")
        return None


def _port(text: str | None, problems: list[str]) -> int | None:
    if text is None:
        problems.append("--port: missing: it is the port of the application")
        return None
    if not _PORT.fullmatch(text) or int(text) > _HIGHEST:
        what = f"expected a whole number from 1 to {_HIGHEST}, got {shown(text)}"
        problems.append(f"--port: {what}")
        return None
    return int(text)


def _source(text: str, problems: list[str]) -> Address | None:
    try:
        address = parse_address(text)
    except AddressError as error:
        problems.append(f"--source: {error}")
        return None
    if address is None:
        problems.append(f"--source: expected an IP address, got {shown(text)}")
    return address
