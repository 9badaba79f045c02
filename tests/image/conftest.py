"""The image, built once for all its tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import frozen

from tests.netns.pods import need_root
from tests.support.image import Image, built

if TYPE_CHECKING:
    from collections.abc import Iterator


@frozen
class Images:
    """What we make, and what we make it of."""

    made: Image
    base: Image


@pytest.fixture(scope="session")
def images() -> Iterator[Images]:
    need_root()
    with built() as (made, base):
        yield Images(made, base)


@pytest.fixture
def image(images: Images) -> Image:
    return images.made
