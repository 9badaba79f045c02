"""Readers of values that only one key of `sidecar.yaml` takes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from attrs import frozen

from sidecar.config.address import parse_destination, parse_listen
from sidecar.config.model import ORIGINAL, Endpoint, UnixSocket
from sidecar.config.place import Invalid
from sidecar.config.readers import Reader, whole
from sidecar.config.shape import shape_of, shaped
from sidecar.config.structure import reader_of
from sidecar.config.wording import shown, suggestion

T = TypeVar("T")

_WORKERS: Final = whole(1, 256)
_UNIX_PATH: Final = 107  # sun_path holds 108 bytes with the null, unix(7)
# Workload Endpoint, 4: an absolute path, and no authority.
_WORKLOAD_API: Final = re.compile(r"unix:(?://)?/[^\0?#/][^\0?#]*")
_GROUP: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def parse_goal(text: str) -> Endpoint | Literal["original"]:
    """Parse where a listener's connections go.

    Raises:
        ValueError: The text is neither `original` nor an endpoint.
    """
    if text == ORIGINAL:
        return ORIGINAL
    if guess := suggestion(text, [ORIGINAL]):
        raise ValueError(
            f"expected 'original' or 'host:port', got {shown(text)}{guess}"
        )
    return parse_destination(text)


def parse_admin(text: str) -> Endpoint | UnixSocket:
    """Parse where the admin server listens.

    Raises:
        ValueError: The text is neither an endpoint nor an absolute `unix:/path`.
    """
    if not text.startswith("unix:"):
        return parse_listen(text)
    path = text.removeprefix("unix:")
    if not path.startswith("/"):
        raise ValueError(f"expected 'unix:' and an absolute path, got {shown(text)}")
    if len(path.encode(errors="surrogatepass")) > _UNIX_PATH:
        raise ValueError(
            f"the path of a socket has at most {_UNIX_PATH} bytes, got {shown(text)}"
        )
    return UnixSocket(Path(path))


def parse_workload_api(text: str) -> str:
    """Parse the address of a SPIFFE Workload API.

    Raises:
        ValueError: The text is no `unix:` address with an absolute path.
    """
    if not _WORKLOAD_API.fullmatch(text):
        raise ValueError(
            f"expected a socket, as in 'unix:///run/spire/agent.sock', got {shown(text)}"
        )
    return text


def parse_group(text: str) -> str:
    """Parse the name of a TLS group; whether OpenSSL knows it is for `sidecar.tls`.

    Raises:
        ValueError: The text cannot be one.
    """
    if not _GROUP.fullmatch(text):
        raise ValueError(f"expected the name of a TLS group, got {shown(text)}")
    return text


def read_version(value: object, _type: object = None) -> str:
    """Take a TLS version, with or without quotes."""
    # Without them YAML makes it a number; there is no doubt what was meant.
    if isinstance(value, (str, float)) and str(value) in {"1.2", "1.3"}:
        return str(value)
    raise Invalid.here(f"expected '1.2' or '1.3', got {shown(value)}")


def read_workers(value: object, _type: object = None) -> int | Literal["auto"]:
    """Take a number of processes, or `auto`."""
    if value == "auto":
        return "auto"
    try:
        return _WORKERS(value, None)
    except Invalid as error:
        what = f"{error.findings[0].what} (or 'auto', one for each CPU)"
        raise Invalid.here(what) from None


shaped(read_version, {"enum": ["1.2", "1.3", 1.2, 1.3]})
shaped(read_workers, {"anyOf": [{"enum": ["auto"]}, shape_of(_WORKERS)]})


@frozen
class _Bind:
    """The one key of `admin` and of `telemetry`."""

    listen: Any


def listen_at(read_listen: Reader[T]) -> Reader[T]:
    """Take a mapping whose only key is `listen`."""
    read_bind = reader_of(_Bind, {"listen": read_listen})

    def read(value: object, _type: object = None) -> T:
        if isinstance(value, str):
            hint = f"write {{listen: {shown(value)}}}"
            raise Invalid.here(f"expected a mapping, got {shown(value)} ({hint})")
        endpoint: T = read_bind(value, None).listen
        return endpoint

    return shaped(read, shape_of(read_bind))
