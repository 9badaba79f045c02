"""The ConfigMaps that Helm sends as protobuf, which its client always does for these.

The fields are those of Kubernetes' generated.proto: runtime.Unknown in an envelope,
core/v1 ConfigMap, meta/v1 ObjectMeta.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

_MAGIC = b"k8s\x00"
Fields = dict[int, list[Any]]


def config_map(data: bytes) -> dict[str, Any]:
    """Decode an enveloped ConfigMap, as far as Helm's releases need it."""
    assert data.startswith(_MAGIC)
    (raw,) = _fields(data[len(_MAGIC) :])[2]
    message = _fields(raw)
    metadata = _fields(message[1][0])
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": metadata[1][0].decode(), "labels": _texts(metadata[11])},
        "data": _texts(message[2]),
    }


def _texts(entries: list[bytes]) -> dict[str, str]:
    """Decode the entries of a map<string, string>."""
    pairs = (_fields(entry) for entry in entries)
    return {pair[1][0].decode(): pair[2][0].decode() for pair in pairs}


def _fields(data: bytes) -> Fields:
    """Take a message apart (protobuf encoding, wire types 0 and 2)."""
    found: Fields = defaultdict(list)
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        value, at = _varint(data, at)
        if key & 7 == 2:
            found[key >> 3].append(data[at : at + value])
            at += value
        else:
            assert key & 7 == 0
            found[key >> 3].append(value)
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if data[at - 1] < 0x80:
            return value, at
