from __future__ import annotations

import pytest

from bench.load.wrk import Load, Report, command, parse
from bench.unmeasured import Unmeasured

GOOD = (
    "Running 1s test @ http://127.0.0.1:20001/small\n"
    "Requests/sec:  15182.66\n"
    '{"requests": 15287, "bytes": 3240844, "seconds": 1.006871, "p50_us": 392,'
    ' "p99_us": 18546, "p999_us": 29696, "connect": 0, "read": 0, "write": 0,'
    ' "timeout": 0, "status": 0}\n'
)


def test_the_report_is_the_last_line() -> None:
    assert parse(GOOD) == Report(15287, 3240844, 1.006871, 392, 18546, 29696)


@pytest.mark.parametrize("kind", ["connect", "read", "write", "timeout", "status"])
def test_requests_that_failed_are_no_figure(kind: str) -> None:
    output = GOOD.replace(f'"{kind}": 0', f'"{kind}": 7')
    with pytest.raises(Unmeasured, match=rf"beside 15287 answered: {kind} 7$"):
        parse(output)


@pytest.mark.parametrize("output", ["", "unable to connect\n", "Running\n{\n"])
def test_output_without_a_report_says_what_was_there(output: str) -> None:
    with pytest.raises(Unmeasured, match=r"wrk: must end with a report, got '"):
        parse(output)


def test_a_new_connection_for_each_request_is_asked_for_in_a_header() -> None:
    words = command(Load("/small", 32, reconnect=True), 20001, 4)
    assert words[words.index("--header") + 1] == "Connection: close"
    assert "--header" not in command(Load("/small", 32), 20001, 4)


def test_the_size_of_an_upload_is_an_argument_of_the_script() -> None:
    assert command(Load("/", 2, upload_bytes=4096), 20001, 4)[-2:] == ["--", "4096"]
    assert command(Load("/", 2), 20001, 4)[-1] == "--"
