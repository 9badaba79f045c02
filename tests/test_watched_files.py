from __future__ import annotations

import datetime as dt
from itertools import pairwise
from pathlib import Path

import pytest

from sidecar.config.model import AdditionalIdentity, Config, Identity
from sidecar.watched_files import contents, look, named_files, touched_since


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    return [tmp_path / "a", tmp_path / "b"]


def test_every_file_that_a_configuration_names_is_listed_once_for_each_key() -> None:
    bundles = {"example.org": Path("c"), "partner.test": Path("d")}
    billing = AdditionalIdentity(Path("f"), Path("g"))
    identity = Identity(
        Path("a"), Path("b"), bundles, crl=Path("e"), additional={"billing": billing}
    )
    config = Config(identity=identity, policy=Path("p"))
    listed = {str(each) for each in named_files(Path("s"), config)}
    assert listed == set("spabcdefg")


def test_a_look_sees_a_file_that_is_replaced_grows_or_goes(files: list[Path]) -> None:
    first, second = files
    seen = [look(files)]
    fresh = first.with_name("fresh")
    fresh.write_text("a")
    fresh.replace(first)
    seen.append(look(files))
    second.write_text("longer")
    seen.append(look(files))
    second.unlink()
    seen.append(look(files))
    assert all(earlier != later for earlier, later in pairwise(seen))
    assert look(reversed(files)) == look([*files, *files]) == seen[-1]


def test_contents_are_what_is_read_and_not_when_it_was_written(
    files: list[Path],
) -> None:
    before = contents(files)
    files[0].write_text("a")
    assert contents(files) == before
    files[0].write_text("z")
    changed = contents(files)
    assert changed != before
    files[0].unlink()
    assert contents(files) not in {before, changed}


def test_what_was_touched_since_is_told_and_so_is_what_is_gone(
    files: list[Path],
) -> None:
    newest = max(path.stat().st_ctime for path in files)
    moment = dt.datetime.fromtimestamp(newest, dt.UTC)
    second = dt.timedelta(seconds=1)
    assert touched_since(files, moment - second)
    assert not touched_since(files, moment + second)
    files[1].unlink()
    assert touched_since(files, moment + second)
