"""Between h11's events and our values. No I/O."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import h11

from sidecar.admin.messages import Request, Response, text

if TYPE_CHECKING:
    from collections.abc import Iterator


def request_of(head: h11.Request, body: bytes, local: str = "") -> Request:
    """What h11 read at our address *local*, as a request.

    It has checked every byte of the head already.
    """
    path, _, query = head.target.decode("latin-1").partition("?")
    headers: dict[str, str] = {}
    for raw_name, raw_value in head.headers:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        # RFC 9110, 5.3: repeated fields are one list.
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Request(
        method=head.method.decode("latin-1"),
        path=path,
        query=dict(parse_qsl(query, keep_blank_values=True)),
        headers=headers,
        body=body,
        local=local,
    )


def check_kind(head: h11.Request) -> None:
    """Refuse what h11 takes for ordinary requests and we cannot answer as such.

    Raises:
        h11.RemoteProtocolError: It is of another major version, or asks for a tunnel.
    """
    if not head.http_version.startswith(b"1."):
        raise h11.RemoteProtocolError("not HTTP/1", error_status_hint=505)
    if head.method == b"CONNECT":
        raise h11.RemoteProtocolError("not a proxy", error_status_hint=501)


def declared_length(head: h11.Request) -> int:
    """How long the body says it is; 0 when it does not say."""
    lengths = (value for name, value in head.headers if name == b"content-length")
    return int(next(lengths, b"0"))


def response_events(
    response: Response, *, date: str, close: bool, headless: bool = False
) -> Iterator[h11.Event]:
    """What to send for *response* at *date*, a time as HTTP writes it.

    With *close*, the client is told that no other response follows. With *headless*,
    the body is left out but not its length: the answer to a HEAD.
    """
    headers = [
        ("Content-Type", response.content_type),
        ("Content-Length", str(len(response.body))),
        ("Date", date),
        # All of it is about this moment, and none of it is a page.
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        *response.headers,
    ]
    if close:
        headers.append(("Connection", "close"))
    yield h11.Response(
        status_code=response.status,
        headers=headers,
        reason=_phrase(response.status),
    )
    if response.body and not headless:
        yield h11.Data(data=response.body)
    yield h11.EndOfMessage()


def refusal(error: h11.RemoteProtocolError) -> Response:
    """The answer to a request that cannot be read.

    h11 words its errors for logs, and quotes the request in them: the client gets the
    status and its name.
    """
    status = error.error_status_hint
    return text(_phrase(status).lower(), status)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""  # an application's own, passed on
