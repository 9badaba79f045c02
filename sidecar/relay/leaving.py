"""The last bytes before a reset.

A peer that ends without close_notify, or with a reset, has often sent all that it
wanted: many clients never say close_notify, and one that does not read is reset by its
own kernel over the session tickets that we sent it. What came whole is the
application's, as it would be without us; the reset comes after it, so that nobody takes
it for an end (RFC 8446, 6.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import define

from sidecar.relay.end import Broken

if TYPE_CHECKING:
    from sidecar.relay.end import End
    from sidecar.relay.flow import Ending, Flow

_PATIENCE_SECONDS: Final = 60.0
"""How long an application that takes nothing is waited for."""


@define(eq=False)
class Leaving:
    """A flow that ends as soon as *end* has what it is still to get.

    Attributes:
        resets: The ends that see a reset then.
        left: How much *end* was to get at the last look.
        since: When that changed last, on a clock in seconds.
    """

    flow: Flow
    ending: Ending
    end: End
    resets: tuple[End, ...]
    left: int = 0
    since: float = 0.0

    def begin(self, now: float) -> bool:
        """Look for the first time; True if there is nothing to wait for."""
        self.since = now
        return self.look(now)

    def look(self, now: float) -> bool:
        """Send on, and finish the flow if it is time; True if it is over."""
        if self.flow.ending is not None:
            return True
        left = self._left()
        if left != self.left:
            self.left, self.since = left, now
        if left and now < self.since + _PATIENCE_SECONDS:
            return False
        self.flow.finish(self.ending, *self.resets)
        return True

    def _left(self) -> int:
        try:
            self.end.flush()
            pending = self.end.pending
            return (0 if pending is None else len(pending)) + self.end.undelivered()
        except (Broken, OSError):
            return 0  # it is gone itself
