"""Starting a proxy before an application, asking it everything, and ending it."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from certs.matrix.proxies import ASK, Proxy, Site
from tests.integration.conftest import serving
from tests.support.ports import free_port
from tests.support.processes import Process

if TYPE_CHECKING:
    from collections.abc import Sequence

_SIDECAR: Final = (sys.executable, "-m", "sidecar")
_FOLDERS: Final = "/usr/local/sbin:/usr/sbin:/sbin"
_START_SECONDS: Final = 20


@frozen
class Asked:
    """What one proxy did.

    Attributes:
        proxy: Which.
        version: Of the program.
        command: What started it, without the folders of this machine.
        found: What `sidecar certs conformance --json` printed.
    """

    proxy: Proxy
    version: str
    command: str
    found: dict[str, Any]


def find(proxy: Proxy) -> str | None:
    """Give the path of the program, or None where it is not installed."""
    if not proxy.program:
        return sys.executable
    beside = Path(sys.executable).parent / proxy.program
    if beside.exists():
        return str(beside)
    return shutil.which(proxy.program) or shutil.which(proxy.program, path=_FOLDERS)


def prepare(state: Path) -> None:
    """Make the authorities, the bundles, and a certificate for the endpoints.

    Raises:
        subprocess.CalledProcessError: That failed.
    """
    for words in (
        ("conformance", "--state", str(state)),
        ("issue", "spiffe://example.org/endpoint", "--dir", str(state)),
    ):
        subprocess.run([*_SIDECAR, "certs", *words], check=True, capture_output=True)


def ask(proxy: Proxy, program: str, state: Path, folder: Path) -> Asked:
    """Start *proxy* in *folder* and show it everything.

    Raises:
        subprocess.CalledProcessError: It could not be asked.
    """
    folder.mkdir()
    # What the process said, its block prints for tests; here nobody has asked.
    quiet = contextlib.redirect_stdout(io.StringIO())
    with quiet, serving() as application:
        site = Site(folder, state, free_port(), application.port)
        command = list(proxy.command(program, site))
        with Process(command, folder) as process:
            process.wait_for_port(site.port, seconds=_START_SECONDS)
            words = ("--state", str(state), "--target", f"127.0.0.1:{site.port}")
            done = subprocess.run(
                [*_SIDECAR, "certs", "conformance", *words, "--json", *ASK],
                check=False,
                stdout=subprocess.PIPE,
            )
    if not done.stdout:
        raise subprocess.CalledProcessError(done.returncode, command)
    found = json.loads(done.stdout)
    return Asked(proxy, _version(proxy, program), _shown(command, site), found)


def _version(proxy: Proxy, program: str) -> str:
    command: Sequence[str] = (
        (program, *proxy.version) if proxy.program else (*_SIDECAR, *proxy.version)
    )
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    # nginx and stunnel say it on standard error.
    found = re.search(r"(?<![\w.])\d+\.\d+(\.\d+)*", said.stdout + said.stderr)
    return found[0] if found else "unknown"


def _shown(command: Sequence[str], site: Site) -> str:
    text = " ".join(command)
    for path, name in (
        (f"{sys.executable} -m sidecar", "sidecar"),
        (str(site.folder), "$DIR"),
        (str(site.state), "$STATE"),
        (str(site.port), "8443"),
    ):
        text = text.replace(path, name)
    return re.sub(r"^/\S*/", "", text)
