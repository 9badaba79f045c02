"""What every test shares: how hard hypothesis looks, and the options of pytest."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    import pytest

# A busy machine is no defect: nothing fails for being slow.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("dev", _PATIENT, max_examples=25)
settings.register_profile(
    "ci", _PATIENT, max_examples=300, derandomize=True, print_blob=True
)
settings.load_profile("ci" if os.getenv("CI") == "true" else "dev")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the golden files anew instead of comparing with them",
    )
    parser.addoption(
        "--soak",
        action="store_true",
        help="rotate for minutes, under 500 connections a second",
    )
