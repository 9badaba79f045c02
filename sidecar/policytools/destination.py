"""Where a connection of the application goes, as options say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.config.address import (
    AddressError,
    parse_address,
    parse_destination,
    parse_host_name,
)
from sidecar.config.wording import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sidecar.config.model import Endpoint
    from sidecar.policytools.outbound import Names


class DestinationError(ValueError):
    """The text is no destination; the message states the rule that it breaks."""


def parse_to(text: str, port: str | None) -> Endpoint:
    """Parse ``HOST:PORT``, or ``HOST`` whose *port* stands elsewhere.

    Raises:
        DestinationError: The text is something else. No other exception escapes.
    """
    if port is not None:
        bare = ":" in text and not text.startswith("[")  # an IPv6 address
        text = f"[{text}]:{port}" if bare else f"{text}:{port}"
    elif ":" not in text:
        raise DestinationError(
            f"expected HOST:PORT, got {shown(text)} (or name the port with --port)"
        )
    try:
        return parse_destination(text)
    except AddressError as error:
        raise DestinationError(str(error)) from None


def parse_names(texts: Iterable[str]) -> Names:
    """Parse the addresses of host names, each ``NAME=ADDRESS,ADDRESS``.

    Raises:
        DestinationError: One of them is something else. No other exception escapes.
    """
    names: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, equals, addresses = text.partition("=")
        if not equals:
            raise DestinationError(f"expected NAME=ADDRESS, got {shown(text)}")
        try:
            host = parse_host_name(name)
            found = [(each, parse_address(each)) for each in addresses.split(",")]
        except AddressError as error:
            raise DestinationError(str(error)) from None
        for each, address in found:
            if address is None:
                raise DestinationError(f"expected an IP address, got {shown(each)}")
        known = (*names.get(host, ()), *(str(address) for _, address in found))
        names[host] = tuple(dict.fromkeys(known))
    return names
