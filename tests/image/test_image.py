"""What `Dockerfile` makes: small, without what a running sidecar does not need."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sidecar import __version__
from tests.support.image import build_again

if TYPE_CHECKING:
    from pathlib import Path

    from tests.image.conftest import Images
    from tests.support.image import Image

MEGABYTE = 1_000_000
LARGEST = 100 * MEGABYTE
"""What we add to the base at most."""

BUILDERS = {
    *("cc", "c++", "gcc", "g++", "ld", "make", "cargo", "rustc"),
    *("pip", "pip3", "uv", "hatch", "wheel"),
}
PACKAGES = {"pip", "setuptools", "wheel", "hatchling", "ensurepip", "pytest", "mypy"}


def test_the_image_adds_less_than_100_mb_to_its_base(images: Images) -> None:
    added = images.made.size - images.base.size
    print(f"{added / MEGABYTE:.1f} MB on {images.base.size / MEGABYTE:.1f} MB")  # noqa: T201
    assert 20 * MEGABYTE < added < LARGEST


def test_the_image_runs_as_1337_and_leaves_health_to_probes(image: Image) -> None:
    assert image.config["User"] == "1337:1337"
    assert image.config["Entrypoint"] == ["sidecar"]
    assert "Healthcheck" not in image.config


def test_the_image_says_what_it_is(image: Image) -> None:
    name = "org.opencontainers.image"
    labels = image.config["Labels"]
    assert labels[f"{name}.title"] == "sidecar"
    assert labels[f"{name}.licenses"] == "Apache-2.0"
    assert labels[f"{name}.version"] == __version__


def test_nothing_that_builds_is_left(image: Image) -> None:
    names = {
        path.name
        for folder in ("usr/bin", "usr/sbin", "usr/local/bin", "opt/sidecar/bin")
        for path in (image.root / folder).iterdir()
    }
    assert not names & BUILDERS
    packages = {
        path.name
        for folder in ("usr/lib/python3", "usr/lib/python3.11", "opt/sidecar/lib")
        for path in (image.root / folder).rglob("*")
        if path.is_dir()
    }
    assert not packages & PACKAGES
    assert not list((image.root / "var/lib/apt/lists").glob("*"))


def test_everything_is_compiled_and_bound_to_no_date(image: Image) -> None:
    sources = sorted((image.root / "opt/sidecar/lib").rglob("*.py"))
    assert len(sources) > 500
    for source in sources:
        # PEP 552: bit 0 says that a hash follows, bit 1 that it is compared.
        (flags,) = struct.unpack_from("<4xI", compiled(source).read_bytes())
        assert flags == 0b01, source


def compiled(source: Path) -> Path:
    return source.parent / "__pycache__" / f"{source.stem}.cpython-311.pyc"


def test_the_same_source_makes_the_same_image(image: Image) -> None:
    assert build_again() == image.identifier
