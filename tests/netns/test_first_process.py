"""Ensures that a sidecar that is the first process of its container hears SIGTERM."""

from __future__ import annotations

import signal
import subprocess
import sys

from tests.netns.pods import need_root
from tests.support.processes import ROOT
from tests.support.programs import require


def test_sigterm_is_heard_before_anything_is_imported() -> None:
    """The kernel drops what such a process has no handler for: pid_namespaces(7)."""
    need_root()
    script = (
        "import os, sys\n"
        "from sidecar import early_signals\n"
        "if sys.argv[1:]:\n"
        "    early_signals.prepare(['run'])\n"
        "assert os.getpid() == 1\n"
        f"os.kill(1, {signal.SIGTERM:d})\n"
        "for _ in range(1000): pass\n"
        "os._exit(4)\n"
    )
    command = [str(require("unshare")), "--pid", "--fork", sys.executable]
    command += ["-c", script]
    unprepared = subprocess.run(command, cwd=ROOT, check=False)
    prepared = subprocess.run([*command, "prepared"], cwd=ROOT, check=False)
    assert (unprepared.returncode, prepared.returncode) == (4, 0)
