"""Files that nobody else reads, and that replace nothing unasked."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from sidecar.certs.files import FileExists, NewFile, make_folder, write_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def careless_umask() -> Iterator[None]:
    """Give the rest of the world every right that the code does not take away."""
    old = os.umask(0)
    yield
    os.umask(old)


def test_a_secret_is_for_its_owner_alone(tmp_path: Path) -> None:
    secret, public = tmp_path / "a.key", tmp_path / "a.crt"
    write_files(
        [NewFile(secret, b"secret", secret=True), NewFile(public, b"", secret=False)],
        replace=False,
    )
    assert secret.read_bytes() == b"secret"
    assert mode(secret) == 0o600
    assert mode(public) == 0o644


def test_nothing_else_is_left_in_the_folder(tmp_path: Path) -> None:
    for replace in (False, True):
        write_files([NewFile(tmp_path / "a", b"", secret=True)], replace=replace)
        assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_if_one_file_exists_none_is_written(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"old")
    files = [NewFile(new, b"1", secret=True), NewFile(old, b"2", secret=True)]
    with pytest.raises(FileExists, match=r"old: must not exist yet; --force replaces"):
        write_files(files, replace=False)
    assert old.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    link, elsewhere = tmp_path / "link", tmp_path / "elsewhere"
    link.symlink_to(elsewhere)
    with pytest.raises(FileExists):
        write_files([NewFile(link, b"1", secret=True)], replace=False)
    write_files([NewFile(link, b"1", secret=True)], replace=True)
    assert not elsewhere.exists()
    assert not link.is_symlink()


def test_a_file_that_is_replaced_gets_a_new_mode(tmp_path: Path) -> None:
    old = tmp_path / "a.key"
    old.write_bytes(b"old")
    old.chmod(0o666)
    write_files([NewFile(old, b"new", secret=True)], replace=True)
    assert old.read_bytes() == b"new"
    assert mode(old) == 0o600


def test_a_file_that_comes_in_between_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.key"
    sync = os.fsync

    def somebody_writes(descriptor: int) -> None:
        path.write_bytes(b"theirs")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", somebody_writes)
    with pytest.raises(FileExists):
        write_files([NewFile(path, b"ours", secret=True)], replace=False)
    assert path.read_bytes() == b"theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["a.key"]


def test_the_mode_is_there_before_the_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    sync = os.fsync

    def look(descriptor: int) -> None:
        seen.extend(mode(path) for path in tmp_path.iterdir())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    write_files([NewFile(tmp_path / "a", b"secret", secret=True)], replace=False)
    assert seen == [0o600]


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    files = [
        NewFile(tmp_path / "a", b"1", secret=True),
        NewFile(tmp_path / "missing" / "b", b"2", secret=True),
    ]
    with pytest.raises(FileNotFoundError):
        write_files(files, replace=False)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    assert mode(tmp_path / "a" / "b") == 0o700


def test_a_folder_that_exists_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(0o755)
    make_folder(tmp_path / "a")
    assert mode(tmp_path / "a") == 0o755


def test_a_secret_is_never_printed(tmp_path: Path) -> None:
    assert "word" not in repr(NewFile(tmp_path / "a", b"word", secret=True))
