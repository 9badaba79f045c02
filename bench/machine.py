"""The machine, as far as figures depend on it; nothing that says whose it is."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

from OpenSSL import SSL

_CPU_INFO = Path("/proc/cpuinfo")


def describe() -> dict[str, Any]:
    """Return what to write beside the figures."""
    return {
        "cpu": cpu_model(_CPU_INFO.read_text()),
        "cpus": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "openssl": SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode("ascii"),
    }


def cpu_model(text: str) -> str:
    """Read the model from the text of /proc/cpuinfo; ARM's has none."""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.machine()
