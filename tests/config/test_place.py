from __future__ import annotations

import pytest

from sidecar.config.place import Finding, Index, Invalid, Place, written


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ((), ""),
        (("inbound", "ports", 8080, "mode"), "inbound.ports.8080.mode"),
        (("rules", Index(3), "peers", Index(0)), "rules[3].peers[0]"),
        (
            ("identity", "trust_bundles", "example.org"),
            "identity.trust_bundles.example.org",
        ),
        (("a", "b c"), "a['b c']"),
        (("a", "b\nc"), "a['b\\nc']"),
        (("a", ""), "a['']"),
        (("a", None), "a[nothing]"),
        (("a", True), "a.True"),
        (("a", 1.5), "a[1.5]"),
        (("a", "x" * 100), f"a['{'x' * 80}'...]"),
    ],
)
def test_a_place_reads_as_an_operator_would_write_it(place: Place, text: str) -> None:
    assert written(place) == text


def test_a_finding_moves_up_one_step_at_a_time() -> None:
    finding = Finding(("mode",), "bad", 7).under(8080).under("ports")
    assert finding == Finding(("ports", 8080, "mode"), "bad", 7)


def test_an_invalid_value_says_all_that_is_wrong() -> None:
    error = Invalid([Finding(("a",), "bad"), Finding((), "worse")])
    assert str(error) == "bad; worse"
    assert Invalid.here("bad").findings == (Finding((), "bad"),)
    assert Invalid.on_line(3, "bad").findings == (Finding((), "bad", 3),)
