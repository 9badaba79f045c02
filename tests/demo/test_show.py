from __future__ import annotations

import http.server
import io
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from sidecar.demo import show
from sidecar.demo.calls import Seen
from sidecar.demo.command import Act
from sidecar.demo.stage import Sidecar, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = b"""\
# TYPE sidecar_connections_total counter
sidecar_connections_total{direction="inbound",outcome="completed"} 3.0
sidecar_connections_total{direction="inbound",outcome="denied"} 1.0
sidecar_connections_total{direction="outbound",outcome="completed"} 0.0
# TYPE sidecar_sent_bytes_total counter
sidecar_sent_bytes_total{direction="inbound"} 5.0
"""

ACTS = [
    Act(
        "frontend",
        "through its sidecar",
        Seen(answered=True, what="200 OK: [red]hello[/red]"),
        {
            "outcome": "completed",
            "reason": "ok",
            "rule": "frontend-calls-api",
            "tls_version": "TLSv1.3",
            "group": "X25519",
        },
    ),
    Act(
        "anybody",
        "no certificate",
        Seen(answered=False, what="alert certificate required"),
        {
            "outcome": "handshake_failed",
            "reason": "no_certificate",
            "detail": "the peer showed no certificate",
        },
    ),
]


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def scene() -> Iterator[Stage]:
    server = http.server.HTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    folder = Path("/tmp/a place")
    files = folder / "api.yaml", folder / "api.access.log"
    api = Sidecar(8443, server.server_port, *files)
    yield Stage(folder, Sidecar(9000, 1, *files), api)
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    shown = io.StringIO()
    console = Console(file=shown, width=200, highlight=False)
    monkeypatch.setattr(show, "_OUT", console)
    return shown


def test_the_report_has_a_row_for_each_call_and_the_metrics_that_are_not_zero(
    scene: Stage, shown: io.StringIO
) -> None:
    show.report(scene, ACTS)
    text = shown.getvalue()
    for part in (
        "✔ 200 OK: [red]hello[/red]",  # what others say is not markup
        "rule frontend-calls-api",
        "TLSv1.3, X25519",
        "✘ alert certificate required",
        "handshake_failed, no_certificate",
        "the peer showed no certificate",
        "no identity",
    ):
        assert part in text
    assert "completed, ok" not in text
    rows = text[text.index("What Prometheus sees") :].splitlines()[2:]
    assert [row.split() for row in rows if row.strip()] == [
        ["sidecar_connections_total", 'outcome="completed"', "3"],
        ['outcome="denied"', "1"],
    ]
    assert "sent_bytes" not in text


def test_the_lines_to_try_are_whole_and_quoted(
    scene: Stage,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(show, "_OUT", Console(width=40, highlight=False))
    show.invitation(scene)
    lines = capsys.readouterr().out.splitlines()
    assert (
        "curl --cacert '/tmp/a place/example.org.crt'"
        " --cert '/tmp/a place/batch.crt' --key '/tmp/a place/batch.key'"
        " https://localhost:8443/orders"
    ) in lines
    assert "curl http://127.0.0.1:9000/orders" in lines
    assert "tail -f '/tmp/a place/api.access.log'" in lines


def test_nothing_is_shown_of_the_progress_where_output_is_piped(
    shown: io.StringIO,
) -> None:
    with show.progress() as step:
        step("calling")
    assert shown.getvalue().strip() == ""
