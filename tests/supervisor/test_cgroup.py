from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given, strategies as st

from sidecar.supervisor.cgroup import folders, parse_v1, parse_v2, workers_for


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("max 100000\n", None),
        ("150000 100000\n", 1.5),
        ("50000 100000", 0.5),
        ("400000 100000\n", 4),
        ("", None),
        ("100000", None),
        ("0 100000", None),
        ("100000 0", None),
        ("-1 100000", None),
        ("1e5 100000", None),
        ("9" * 30 + " 100000", None),
    ],
)
def test_a_quota_is_a_share_of_its_period(text: str, share: float | None) -> None:
    assert parse_v2(text) == share
    quota, _, period = text.partition(" ")
    assert parse_v1(quota + "\n", period) == share


@given(st.text())
def test_any_text_is_a_share_or_none(text: str) -> None:
    for share in (parse_v2(text), parse_v1(text, text)):
        assert share is None or share > 0


def paths(own_groups: str) -> list[tuple[int, str]]:
    return [(version, str(path)) for version, path in folders(own_groups)]


def test_a_limit_of_any_group_above_counts() -> None:
    assert paths("0::/kubepods/pod1/c2\n") == [
        (2, "kubepods/pod1/c2"),
        (2, "kubepods/pod1"),
        (2, "kubepods"),
        (2, "."),
        (2, "unified/kubepods/pod1/c2"),
        (2, "unified/kubepods/pod1"),
        (2, "unified/kubepods"),
        (2, "unified"),
    ]


def test_of_version_1_the_hierarchy_with_cpu_counts() -> None:
    text = "7:cpu,cpuacct:/a\n6:cpuset:/b\n5:memory:/c\n4:name=systemd:/d\nnonsense\n"
    assert paths(text) == [
        (1, "cpu/a"),
        (1, "cpu"),
        (1, "cpu,cpuacct/a"),
        (1, "cpu,cpuacct"),
    ]


@given(st.text())
def test_no_text_leads_out_of_the_mounts(text: str) -> None:
    for _, path in folders(f"0::{text}\n1:cpu:{text}\n{text}"):
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert PurePosixPath("/m") in (PurePosixPath("/m") / path / "x").parents


@pytest.mark.parametrize(
    ("shares", "cpus", "workers"),
    [
        ([], 4, 4),
        ([2.5], 8, 3),
        ([2.0], 8, 2),
        ([0.1], 8, 1),
        ([16.0], 2, 2),
        ([4.0, 1.5, 8.0], 8, 2),
        ([3.0], 1, 1),
    ],
)
def test_workers_are_what_the_smallest_limit_allows_rounded_up(
    shares: list[float], cpus: int, workers: int
) -> None:
    assert workers_for(shares, cpus) == workers
