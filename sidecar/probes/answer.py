"""What the kubelet is told of a probe. No I/O."""

from __future__ import annotations

from typing import Final

from attrs import frozen

# Which of the 500s it is tells the three failures apart in the events of a pod, where
# the kubelet shows nothing but the number.
UNHEALTHY: Final = 503
NO_ANSWER: Final = 502
TOO_SLOW: Final = 504


@frozen
class Answer:
    """Success from 200 to 399, as the kubelet counts.

    Attributes:
        body: What the application said, or why there is nothing.
        location: Where a redirect to another host leads.
    """

    status: int
    body: bytes
    location: str = ""


class ProbeFailed(Exception):
    """The application could not be asked, or its answer not be read."""
