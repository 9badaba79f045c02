"""Names and paths that go into a pod, as Kubernetes lets them be."""

from __future__ import annotations

import re
from typing import Final

from sidecar.config.wording import shown

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")  # RFC 1123
_LONGEST: Final = 253
_IMAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,511}")
_PATH: Final = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._@-]+)+")


def parse_object_name(text: str) -> str:
    """Read the name of an object, such as a ConfigMap.

    Raises:
        ValueError: No object has such a name.
    """
    if len(text) > _LONGEST or not _NAME.fullmatch(text):
        raise ValueError(
            "a name has lower case letters, digits, '-' and '.', at most 253 of them,"
            f" got {shown(text)}"
        )
    return text


def parse_image(text: str) -> str:
    """Read the reference of a container image.

    Raises:
        ValueError: It has characters that none has.
    """
    if not _IMAGE.fullmatch(text):
        raise ValueError(
            "expected an image, as in 'registry.example.org/sidecar:0.1.0',"
            f" got {shown(text)}"
        )
    return text


def parse_mount(text: str) -> str:
    """Read where a volume is found within a container.

    Raises:
        ValueError: It is no absolute path without detours.
    """
    if not _PATH.fullmatch(text):
        raise ValueError(f"expected an absolute path, got {shown(text)}")
    return text
