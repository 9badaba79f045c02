from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from sidecar.admin.encoding import accepts_gzip


@pytest.mark.parametrize(
    "header",
    [
        "gzip",
        "GZIP",
        "x-gzip",
        "deflate, gzip;q=1.0, *;q=0.5",
        "br,gzip ; q=0.001",
        "gzip;q=1",
        "identity;q=0, gzip",
    ],
)
def test_who_names_gzip_takes_it(header: str) -> None:
    assert accepts_gzip(header)


@pytest.mark.parametrize(
    "header",
    ["", "*", "identity", "gzip;q=0", "gzip; q=0.000", "br, gzip ;q=0.", "gzipped"],
)
def test_who_does_not_or_refuses_it_does_not(header: str) -> None:
    assert not accepts_gzip(header)


@given(st.text())
def test_any_header_says_yes_or_no(header: str) -> None:
    assert accepts_gzip(header) in {True, False}
