"""The texts of `sidecar.yaml` and `policy.yaml` as regular expressions, roughly.

Enough for a misspelled peer or a port out of range to be refused by a JSON Schema; the
parsers that these stand for know more, and say it better.
"""

from __future__ import annotations

from typing import Final

from sidecar.config.shape import Shape, matching

_PORT: Final = (
    "(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]"
    "|6553[0-5])"
)
_ADDRESS: Final = r"(?:[0-9.]+|\[[0-9A-Fa-f:.]+\])"
_HOST: Final = r"(?:[0-9A-Za-z_.-]+|\[[0-9A-Fa-f:.]+\])"
_LISTEN: Final = f"{_ADDRESS}:(?:0|{_PORT})"
_PREFIX: Final = "(?:/[0-9]{1,3})?"
_TRUST_DOMAIN: Final = "[a-z0-9._-]+"
_SPIFFE: Final = f"spiffe://{_TRUST_DOMAIN}(?:/[A-Za-z0-9._*-]+)+"

PORT: Final[Shape] = matching(_PORT)
LISTEN: Final[Shape] = matching(_LISTEN)
GOAL: Final[Shape] = matching(f"original|{_HOST}:{_PORT}")
ADMIN: Final[Shape] = matching(rf"unix:/[\s\S]+|{_LISTEN}")
NETWORK: Final[Shape] = matching(f"[0-9A-Fa-f:.]+{_PREFIX}")
TARGET: Final[Shape] = matching(f"[0-9A-Za-z_:.-]+{_PREFIX}")
TRUST_DOMAIN: Final[Shape] = matching(_TRUST_DOMAIN)
PEER: Final[Shape] = matching(
    rf"{_SPIFFE}|dns:[0-9A-Za-z_.*-]+|subject:[\s\S]+|unauthenticated"
)
WORKLOAD_API: Final[Shape] = matching(r"unix:(?://)?/[^/][\s\S]*")
GROUP: Final[Shape] = matching("[A-Za-z0-9_.-]+")
