from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from tests.support.sidecars import Samples, Sidecar

if TYPE_CHECKING:
    from pathlib import Path

# Says what `sidecar run` says, and is ready when it is asked for the third time.
STAND_IN = """
import http.server, sys, yaml

settings = yaml.safe_load(open(sys.argv[1]))
if settings.get("broken"):
    sys.exit("broken: is true")
pages = {
    "/readyz": iter([(503, "not yet"), (503, "not yet"), (200, "ready")]),
    "/metrics": iter([(200, "# TYPE up gauge\\nup{policy=\\"%(policy)s\\"} 1\\n" % settings)]),
}

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status, body = next(pages[self.path])
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

print('{"outcome": "completed"}')
print('{"message": "no record"}')
print('{"outcome": "half a li', end="", flush=True)
host, port = settings["telemetry"]["listen"].split(":")
http.server.HTTPServer((host, int(port)), Handler).serve_forever()
"""


class StandIn(Sidecar):
    program: tuple[str, ...] = (sys.executable, "-c", STAND_IN)


def test_a_sidecar_is_ready_when_the_block_begins(tmp_path: Path) -> None:
    with StandIn(tmp_path, {}, policy={"default": "deny"}, name="a") as sidecar:
        assert sidecar.metrics().sum("up", policy="a-policy.yaml") == 1
        assert sidecar.wait_for_records(1) == [{"outcome": "completed"}]
        assert sidecar.policy_file.read_text() == "default: deny\n"
        assert sidecar.poll() is None
    assert sidecar.poll() is not None


def test_a_sidecar_that_cannot_start_fails_at_once(tmp_path: Path) -> None:
    sidecar = StandIn(tmp_path, {"broken": True})
    with pytest.raises(pytest.fail.Exception, match="too early, exit status 1"):
        sidecar.__enter__()
    assert sidecar.errors() == "broken: is true\n"


def test_a_sidecar_can_be_watched_while_it_refuses(tmp_path: Path) -> None:
    with StandIn(tmp_path, {"broken": True}, ready=False) as sidecar:
        assert sidecar.wait() == 1


@pytest.fixture
def samples() -> Samples:
    registry = CollectorRegistry()
    counter = Counter("calls", "Calls.", ["way", "result"], registry=registry)
    counter.labels("in", "ok").inc(2)
    counter.labels("in", "failed").inc(3)
    counter.labels("out", "ok").inc(5)
    counter.labels("out", "failed")
    return Samples.parse(generate_latest(registry).decode())


def test_samples_add_up_over_the_labels_that_are_not_named(samples: Samples) -> None:
    assert samples["calls_total"] == 10
    assert samples.sum("calls_total", way="in") == 5
    assert samples.sum("calls_total", way="in", result="ok") == 2
    assert samples.sum("calls_total", result="failed", way="out") == 0


def test_a_series_that_does_not_exist_is_not_zero(samples: Samples) -> None:
    with pytest.raises(KeyError, match="calls_total"):
        samples.sum("calls_total", way="up")
    with pytest.raises(KeyError, match="no_such"):
        samples["no_such"]
