from __future__ import annotations

from bench.guard.counts import OWN_FUNCTIONS, SYSTEM_CALLS, Count, Verdict
from bench.guard.exercise import REQUEST
from bench.guard.report import report

FUNCTIONS = Count(OWN_FUNCTIONS, REQUEST, 48.0, {"sidecar.relay.flow.Flow.move": 4.0})
CALLS = Count(SYSTEM_CALLS, REQUEST, 8.0, {"recvfrom": 4.0})


def test_a_count_that_has_grown_is_named_with_what_it_is_made_of() -> None:
    text = report([Verdict(FUNCTIONS, 40.0), Verdict(CALLS, 8.0)])
    line = next(line for line in text.split("\n") if "our functions" in line)
    assert line.split("|")[2:6] == [" 40.00 ", "       10% ", " 48.00 ", " HAS GROWN "]
    assert text.endswith(
        "calls of our functions, each request, most of them:\n"
        "      4.00  sidecar.relay.flow.Flow.move"
    )


def test_counts_within_their_limits_are_a_table_and_no_more() -> None:
    text = report([Verdict(FUNCTIONS, 48.0), Verdict(CALLS, None)])
    assert "HAS GROWN" not in text
    assert len(text.split("\n")) == 4
    assert " none " in text
