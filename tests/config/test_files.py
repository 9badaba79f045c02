from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from sidecar.config.files import UnreadableError, read_bounded

MIB = 1024 * 1024


def refusal(path: Path) -> str:
    with pytest.raises(UnreadableError) as caught:
        read_bounded(path, MIB)
    return str(caught.value)


def test_a_file_of_just_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * MIB)
    assert len(read_bounded(path, MIB)) == MIB


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "larger"
    path.write_bytes(b"x" * (MIB + 1))
    assert refusal(path) == "larger than 1 MiB"


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    assert read_bounded(tmp_path / "link", MIB) == b"x"


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_bytes(b"")
    refusals = {
        tmp_path: "a directory, expected a file",
        tmp_path / "fifo": "not a regular file",
        tmp_path / "missing": "no such file",
        tmp_path / "missing" / "file": "no such file",
        tmp_path / "file" / "below": "a part of the path is not a directory",
        tmp_path / "loop": "too many symbolic links",
        tmp_path / ("x" * 1000): "the path is too long",
        tmp_path / "a\0b": "the path has a character that no file has",
        tmp_path / "\ud800": "the path has a character that no file has",
    }
    assert {path: refusal(path) for path in refusals} == refusals


def test_a_forbidden_file_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tests may run as root, whom nothing is forbidden.
    def forbid(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", forbid)
    assert refusal(tmp_path / "tls.key") == "permission denied"


def test_an_error_without_a_sentence_of_ours_has_the_system_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "open", fail)
    assert refusal(tmp_path / "file") == "input/output error"


@given(st.text(max_size=300))
def test_any_path_is_read_or_refused(name: str) -> None:
    with pytest.raises(UnreadableError):
        read_bounded(Path("/proc/self/fdinfo/none") / name.strip("/."), MIB)
