"""Requests and responses as values: what a handler takes and what it gives back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

from attrs import field, frozen

from sidecar.telemetry.capped import printable

TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"


@frozen
class Request:
    """One whole HTTP request.

    Attributes:
        method: As it came; methods are case-sensitive (RFC 9110, 9.1).
        path: The target up to the question mark, not decoded. A target that is not in
            origin form, as in `CONNECT host:port`, is all path and matches no route.
        query: Each name with its last value.
        headers: By lower-case name; repeated ones are joined by a comma.
        local: The address of ours that the client called; empty if it did not call
            over TCP.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(factory=dict)
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes = field(default=b"", repr=False)
    local: str = ""


@frozen
class Response:
    """An answer.

    Attributes:
        headers: What there is beside the headers that every answer carries.
        after: Called once the answer is on its way, or could not be sent; for an
            action that would cut off its own answer.
    """

    status: int
    body: bytes = field(default=b"", repr=False)
    content_type: str = TEXT
    headers: tuple[tuple[str, str], ...] = ()
    after: Callable[[], None] | None = None


Handler: TypeAlias = Callable[[Request], Response | Awaitable[Response]]
"""Answers a request. Quick ones are plain functions, the others are async."""


def text(body: str, status: int = 200) -> Response:
    """An answer of one or more lines of text, harmless to a terminal."""
    lines = [printable(line) for line in body.rstrip("\n").split("\n")]
    return Response(status, "\n".join([*lines, ""]).encode())
