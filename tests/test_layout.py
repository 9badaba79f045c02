"""The shape of the project, held by tests so that nobody has to remember it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sidecar"
TESTS = ROOT / "tests"

# Tests of several modules together, and of what helps the tests.
NOT_MIRRORED = ("bench", "chart", "image", "integration", "netns", "support")

WITHOUT_TESTS: dict[str, str] = {}
"""Modules that have no test file, each with the reason."""

WITHOUT_MODULE: dict[str, str] = {
    "test_layout.py": "this file",
}
"""Test files that belong to no module, each with the reason."""

# They say nothing about what is inside, and so everything ends up there.
NAMES_THAT_SAY_NOTHING = {
    "base",
    "common",
    "helper",
    "helpers",
    "misc",
    "util",
    "utils",
}

LONGEST_MODULE = 300

PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=\s]{64}")
KEY_FILES = {".jks", ".key", ".p12", ".pfx"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def initializers() -> list[Path]:
    return [path for path in modules() if path.name == "__init__.py"]


def place_of_tests(module: Path) -> str:
    """Where the tests of a module belong, below tests/."""
    place = module.relative_to(PACKAGE)
    return str(place.with_name(f"test_{place.stem.strip('_')}.py"))


def present_test_files() -> set[str]:
    return {
        str(path.relative_to(TESTS))
        for path in TESTS.rglob("test_*.py")
        if path.relative_to(TESTS).parts[0] not in NOT_MIRRORED
    }


def expected_test_files() -> set[str]:
    return {place_of_tests(path) for path in set(modules()) - set(initializers())}


def test_every_module_has_a_test_file() -> None:
    missing = expected_test_files() - present_test_files() - WITHOUT_TESTS.keys()
    assert not missing, f"write these in tests/: {sorted(missing)}"


def test_every_test_file_has_a_module() -> None:
    astray = present_test_files() - expected_test_files() - WITHOUT_MODULE.keys()
    assert not astray, f"no module of that name in sidecar/: {sorted(astray)}"


def test_every_exception_is_still_needed() -> None:
    assert WITHOUT_TESTS.keys() <= expected_test_files() - present_test_files()
    assert WITHOUT_MODULE.keys() <= present_test_files() - expected_test_files()


@pytest.mark.parametrize("path", initializers(), ids=lambda p: p.parent.name)
def test_a_package_begins_with_a_docstring_and_nothing_else(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    rest = [ast.unparse(node) for node in tree.body[1:]]
    if path.parent == PACKAGE:
        rest = [line for line in rest if not line.startswith("__version__ = ")]
    assert rest == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    vague = [
        str(path.relative_to(ROOT))
        for path in [*modules(), *TESTS.rglob("*.py")]
        if {path.stem.strip("_"), path.parent.name} & NAMES_THAT_SAY_NOTHING
    ]
    assert vague == []


def test_no_module_is_too_long_to_read_at_once() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in modules()}
    too_long = {
        str(path.relative_to(ROOT)): length
        for path, length in lengths.items()
        if length > LONGEST_MODULE
    }
    assert too_long == {}


def test_no_private_key_is_committed() -> None:
    keys = [
        str(path.relative_to(ROOT))
        for path in committed_files()
        if path.suffix in KEY_FILES or PRIVATE_KEY.search(path.read_bytes())
    ]
    assert keys == []


def test_the_commands_of_the_readme_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    commands = set(re.findall(r"(?<![\w/])scripts/[\w-]+", readme))
    assert {"scripts/demo", "scripts/test"} <= commands
    missing = [path for path in commands if not os.access(ROOT / path, os.X_OK)]
    assert missing == []


def committed_files() -> list[Path]:
    """What git tracks; in an unpacked release, which has no .git, every file."""
    if not (ROOT / ".git").exists():
        return [path for path in ROOT.rglob("*") if path.is_file()]
    # The checkout may belong to somebody else, as in a container.
    git = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "ls-files", "-z"]
    listing = subprocess.run(git, capture_output=True, check=True).stdout
    assert listing
    tracked = (ROOT / os.fsdecode(name) for name in listing.split(b"\0") if name)
    return [path for path in tracked if path.is_file()]
