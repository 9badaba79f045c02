"""Elements of DER (X.690), as far as needed to tell where one ends."""

from __future__ import annotations


def split(der: bytes) -> tuple[int, bytes, bytes]:
    """Return the first element's tag and content, and whatever follows it.

    Raises:
        ValueError: The element is not whole, or its tag or length is of a form that
            certificates do not have.
    """
    if len(der) < 2:
        raise ValueError(f"an element must be whole, got {len(der)} bytes")
    tag, first = der[0], der[1]
    octets = first & 0x7F if first & 0x80 else 0
    begin = 2 + octets
    length = int.from_bytes(der[2:begin]) if octets else first
    end = begin + length
    if first == 0x80 or len(der) < end:
        raise ValueError(f"an element must be whole, got {len(der)} bytes")
    return tag, der[begin:end], der[end:]


def elements(content: bytes) -> list[bytes]:
    """Return the elements that follow one another in *content*, each of them whole.

    Raises:
        ValueError: The last one is not.
    """
    found = []
    while content:
        rest = split(content)[2]
        found.append(content[: len(content) - len(rest)])
        content = rest
    return found
