"""What a client says of the encodings that it takes (RFC 9110, 12.5.3). No I/O."""

from __future__ import annotations

import re
from typing import Final

_NOT_AT_ALL: Final = re.compile(r"q\s*=\s*0(\.0{0,3})?")


def accepts_gzip(header: str) -> bool:
    """Tell whether the Accept-Encoding *header* names gzip, and not to refuse it.

    What is not named is not sent, though `*` would allow it: whoever wants gzip says so.
    """
    for each in header.lower().split(","):
        coding, *parameters = (part.strip() for part in each.split(";"))
        if coding in {"gzip", "x-gzip"}:
            return not any(_NOT_AT_ALL.fullmatch(part) for part in parameters)
    return False
