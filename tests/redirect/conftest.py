"""Golden files: what is written is what was agreed on, until somebody says otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).parent / "golden"


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with golden/NAME; `--update-golden` writes it instead.

    A name without a suffix is one of rules.
    """

    def compare(name: str, text: str) -> None:
        path = FOLDER / (name if "." in name else f"{name}.rules")
        if request.config.getoption("--update-golden"):
            path.write_text(text)
        assert path.exists(), f"no {path.name}: run pytest with --update-golden"
        assert text == path.read_text()

    return compare
