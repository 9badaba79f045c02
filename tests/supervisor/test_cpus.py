from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sidecar.supervisor.cpus import worker_count

if TYPE_CHECKING:
    from pathlib import Path

CPUS = len(os.sched_getaffinity(0))


def machine(root: Path, own: str, **files: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(own)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_number_is_that_number(tmp_path: Path) -> None:
    assert worker_count(7, tmp_path) == 7


def test_without_a_limit_it_is_the_cpus_that_we_may_run_on(tmp_path: Path) -> None:
    assert worker_count("auto", tmp_path) == CPUS
    assert worker_count("auto") <= CPUS


@pytest.mark.parametrize(
    ("own", "files"),
    [
        ("0::/", {"cpu_dot_max": "50000 100000\n"}),
        ("0::/not/here", {"cpu_dot_max": "50000 100000\n"}),
        ("0::/a/b", {"a__cpu_dot_max": "50000 100000\n", "a__b__cpu_dot_max": "max 9"}),
        (
            "3:cpu:/a",
            {
                "cpu__a__cpu_dot_cfs_quota_us": "50000\n",
                "cpu__a__cpu_dot_cfs_period_us": "100000\n",
            },
        ),
    ],
)
def test_half_a_cpu_is_one_worker(
    tmp_path: Path, own: str, files: dict[str, str]
) -> None:
    assert worker_count("auto", machine(tmp_path, own, **files)) == 1


def test_a_limit_of_many_cpus_gives_no_more_than_there_are(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/", cpu_dot_max="99900000 100000")
    assert worker_count("auto", root) == CPUS
