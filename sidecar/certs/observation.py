"""What an endpoint did with a certificate, and what that means. No I/O."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from attrs import frozen

if TYPE_CHECKING:
    from sidecar.certs.cases.case import Case

GOOD: Final = "minimal"
"""The case that every endpoint has to let in: shown first, to compare with."""

BAD: Final = "authority-unknown"
"""The case that every endpoint has to refuse, even one that knows no SPIFFE."""


class End(enum.StrEnum):
    """How a connection ended, or how it stood when the time was up."""

    ANSWERED = "answered"
    """The handshake was done, and data came that was what we look for."""
    OTHER_ANSWER = "other answer"
    """The handshake was done, and data came that was something else."""
    OPEN = "open"
    """The handshake was done, and then nothing came, no alert either."""
    CLOSED = "closed"
    """The endpoint ended the connection without an alert."""
    ALERT = "alert"
    RESET = "reset"
    TIMEOUT = "timeout"
    """No answer to what we sent before the handshake was done."""
    FAILED = "failed"
    """What came was no TLS, or none that we speak."""
    UNREACHABLE = "unreachable"
    """There was no connection."""


_REFUSED: Final = frozenset({End.ALERT, End.RESET, End.OTHER_ANSWER})


@frozen
class Observation:
    """What was seen of one connection.

    Attributes:
        end: How it ended.
        detail: Which alert, or why there was no connection.
        tls: The version that was agreed on, such as ``TLSv1.3``; "" before that.
    """

    end: End
    detail: str = ""
    tls: str = ""

    def __str__(self) -> str:
        return f"{self.end} {self.detail}".strip()


def hopeless(good: Observation) -> str | None:
    """Say why nothing can be learned, where a good certificate came to *good*."""
    match good.end:
        case End.UNREACHABLE:
            return f"must accept connections, got: {good.detail or 'none'}"
        case End.FAILED:
            return f"must speak TLS, got: {good.detail}"
        case End.TIMEOUT:
            return "must answer within --timeout, got: silence (a port without TLS?)"
        case End.CLOSED if not good.tls:
            return (
                "must do a TLS handshake, got: closed before it was done, without an "
                "alert (a port without TLS?)"
            )
        case End.ALERT | End.RESET | End.OTHER_ANSWER:
            return (
                f"a good certificate must be accepted, got: {good}; does the "
                "endpoint trust the bundles, and admit their identities?"
            )
        case _:
            return None


@frozen
class Controls:
    """What the endpoint does with a good certificate and with a forged one.

    Whether an end that says nothing by itself means acceptance, they tell.
    """

    good: Observation
    bad: Observation

    @property
    def problem(self) -> str | None:
        """Say why nothing can be learned from this endpoint, if so."""
        if (why := hopeless(self.good)) is not None:
            return why
        if self.good.end is self.bad.end is End.CLOSED:
            return (
                "a good certificate and one of an unknown authority must be told "
                "apart, got: closed, both; use --send and --expect"
            )
        return None

    @property
    def warning(self) -> str | None:
        """Say what makes everything else doubtful, if anything does."""
        if self.accepted(self.bad) and self.bad.end is not End.CLOSED:
            return (
                "a certificate of an unknown authority is accepted "
                f"({self.bad}): the endpoint verifies nothing, or is too slow to "
                "refuse within --settle"
            )
        return None

    def accepted(self, seen: Observation) -> bool | None:
        """Tell whether that was acceptance; None if it was neither."""
        if seen.end in _REFUSED:
            return False
        if seen.end is End.ANSWERED:
            return True
        if seen.end is End.CLOSED:
            # An application that ends at once; or a refusal without a word.
            return self.good.end is End.CLOSED
        if seen.end is End.OPEN and self.good.end is not End.ANSWERED:
            return True
        return None


@frozen
class Judged:
    """A case, what the endpoint did, and what that was."""

    case: Case
    seen: Observation
    accepted: bool | None

    @property
    def as_the_standard_says(self) -> bool:
        """Whether what must be accepted was, and what must be refused was."""
        return self.accepted is self.case.accepted
