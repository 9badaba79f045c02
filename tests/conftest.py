"""What every test shares: how hard hypothesis looks."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# A busy machine is no defect: nothing fails for being slow.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("dev", _PATIENT, max_examples=25)
settings.register_profile(
    "ci", _PATIENT, max_examples=300, derandomize=True, print_blob=True
)
settings.load_profile("ci" if os.getenv("CI") == "true" else "dev")
