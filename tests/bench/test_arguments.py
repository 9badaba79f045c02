from __future__ import annotations

import pytest

from bench.arguments import BadArgument, chosen

KNOWN = {"envoy": 1, "nginx": 2, "sidecar": 3}


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("", [1, 2, 3]),
        (" , ", [1, 2, 3]),
        ("nginx", [2]),
        ("sidecar, envoy", [3, 1]),
        ("envoy,", [1]),
    ],
)
def test_names_choose_in_their_order_and_none_choose_all(
    names: str, found: list[int]
) -> None:
    assert chosen(names, KNOWN, "--only") == found


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(BadArgument) as error:
        chosen("envoy,enovy", KNOWN, "--only")
    expected = "--only: must be of envoy, nginx, sidecar, got 'enovy'"
    assert str(error.value) == expected
