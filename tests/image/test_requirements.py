"""The lock files: they serve what pyproject.toml asks for, and name no index."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.processes import ROOT

FOLDER = ROOT / "requirements"
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())


def locked(name: str) -> dict[str, str]:
    """Give the version of each package of a lock file."""
    lines = (FOLDER / name).read_text().replace("\\\n", "").splitlines()
    found: dict[str, str] = {}
    for line in lines:
        pinned = re.fullmatch(r"(\S+)==(\S+)((?: +--hash=sha256:[0-9a-f]{64})+)", line)
        assert pinned, f"{name}: {line[:60]!r} is not pinned by hashes"
        found[canonicalize_name(pinned[1])] = pinned[2]
    return found


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("image.txt", SETTINGS["project"]["dependencies"]),
        ("image.txt", SETTINGS["project"]["optional-dependencies"]["kubernetes"]),
        ("build.txt", SETTINGS["build-system"]["requires"]),
    ],
)
def test_the_lock_serves_what_is_asked_for(name: str, wanted: list[str]) -> None:
    versions = locked(name)
    for requirement in map(Requirement, wanted):
        version = versions.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement}: run scripts/lock"
        assert requirement.specifier.contains(version), (
            f"{requirement}: run scripts/lock"
        )


def test_no_lock_says_where_packages_come_from() -> None:
    for path in FOLDER.iterdir():
        assert "://" not in path.read_text(), path
