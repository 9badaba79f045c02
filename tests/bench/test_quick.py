"""The commands as users run them, with little to do."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.compare.run import Plan, compare
from bench.progress import Progress
from bench.proxies.proxy import Command, Proxy, Site
from bench.stage import Stage, stage
from bench.work.catalogue import all_work
from bench.work.work import Effort
from tests.support.deadlines import eventually
from tests.support.processes import ROOT, Process

if TYPE_CHECKING:
    from collections.abc import Iterator

BENCH = (sys.executable, "-m", "bench")


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*BENCH, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_quick_form_measures_the_sidecar(tmp_path: Path) -> None:
    found, plot = tmp_path / "found.json", tmp_path / "found.png"
    options = ["--quick", "--rounds=1", "--only=sidecar", f"--json={found}"]
    done = bench(*options, f"--plot={plot}", "--work=upload,idle")
    assert done.returncode == 0, done.stderr
    value = json.loads(found.read_text())
    assert value["failures"] == [], done.stdout
    assert value["proxies"]["sidecar"]["full"]["version"] == "TLS 1.3"
    assert value["proxies"]["sidecar"]["takes_strangers"] == []
    figures = [row["figures"]["sidecar"]["median"] for row in value["summary"]]
    assert len(figures) == 4
    assert all(figure > 0 for figure in figures)
    assert "bulk upload" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--only=enovy"], "bench: --only: must be of sidecar, sidecar-2, envoy,"),
        (["--work=bulk"], "bench: --work: must be of download, upload,"),
        (["--against=sidecar"], "invalid choice: 'sidecar'"),
    ],
)
def test_an_argument_that_cannot_be_is_refused(arguments: list[str], why: str) -> None:
    done = bench(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr


class Crashing(Proxy):
    """Not there, or it ends as soon as it is started."""

    name = "crashing"
    checks = "nothing"

    def version(self) -> str:
        return "1.0"

    def client(self, site: Site) -> Command:
        return ["sh", "-c", "echo cannot bind >&2; exit 3"]

    server = client


@pytest.fixture
def ready() -> Iterator[Stage]:
    with stage() as ready:
        yield ready


def test_a_proxy_that_does_not_start_is_a_line_and_no_crash(ready: Stage) -> None:
    effort = Effort(seconds=1, idle_connections=10, rate=100)
    plan = Plan([Crashing()], list(all_work().values()), effort, 1, "envoy")
    with Progress(plan.seconds, terminal=False) as progress:
        results = compare(plan, ready, progress)
    said = "crashing-server ended with status 3: cannot bind"
    assert results.absent == {"crashing": said}
    assert results.samples == []


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    options = ["--only=sidecar", "--rounds=1", "--work=idle"]
    files = [f"--json={tmp_path / 'json'}", f"--plot={tmp_path / 'png'}"]
    command = ["env", f"TMPDIR={tmp_path}", *BENCH, *options, *files]
    with Process(command, tmp_path, "bench") as process:
        process.wait_for_line("idle connections", seconds=60)
        started = eventually(lambda: children(process.pid), "it has started some")
        process.signal(signal.SIGINT)
        process.signal(signal.SIGINT)  # as one does who is in a hurry
        assert process.wait(20) == 130
    assert [pid for pid in started if Path("/proc", pid).exists()] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "bench.err",
        "bench.out",
    ]
    assert process.output() == ""
