from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sidecar.commands import run
from tests.support.pki import identity, new_authority
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]


def arguments(
    path: Path, socket: str | None = None, app_probes: str = "", rules: str = ""
) -> argparse.Namespace:
    return argparse.Namespace(
        config=path,
        worker=None,
        log_level=None,
        endpoint_socket=socket,
        app_probes=app_probes,
        rules=rules,
    )


def test_a_configuration_that_will_not_do_is_told_and_is_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sidecar.yaml"
    path.write_text("inbonud: {}\n")
    assert run.main(arguments(path)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{path}: 3 problems\n")
    assert f"  {path}:1: inbonud: unknown key" in err
    assert "identity" in err


def test_probes_that_will_not_do_are_told_with_what_else_is_wrong(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "sidecar.yaml"
    path.write_text("inbonud: {}\n")
    probes = '{"/livez": {}, "/readyz": 1}'
    assert run.main(arguments(path, app_probes=probes)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{path}: 5 problems\n")
    assert "inbonud: unknown key" in err
    rule = "expected /app-health/CONTAINER/PROBE as a path"
    assert f"  SIDECAR_APP_PROBES: {rule}, got '/readyz'\n" in err


def test_a_listener_that_does_not_fit_the_rules_of_the_pod_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listener = {"listen": "[::]:15006", "destination": "original"}
    settings = {
        "identity": identity(tmp_path, "/ns/shop/sa/api", new_authority()),
        "inbound": {"listeners": [listener]},
        "policy": "policy.yaml",
    }
    (tmp_path / "policy.yaml").write_text("default: deny\nrules: []\n")
    path = tmp_path / "sidecar.yaml"
    path.write_text(yaml.safe_dump(settings))
    assert run.main(arguments(path, rules="tproxy")) == 2
    err = capsys.readouterr().err
    assert "inbound.listeners[0].transparent: the rules of this pod are made" in err


@pytest.mark.parametrize("descriptor", [0, 1, 2])
def test_a_closed_descriptor_is_not_left_for_a_socket(descriptor: int) -> None:
    script = (
        "import os\n"
        "from sidecar.commands.run import _hold_standard_descriptors\n"
        f"os.close({descriptor})\n"
        "before = os.listdir('/proc/self/fd')\n"
        "_hold_standard_descriptors()\n"
        f"assert os.readlink('/proc/self/fd/{descriptor}') == os.devnull\n"
        "assert len(os.listdir('/proc/self/fd')) == len(before) + 1\n"
        "_hold_standard_descriptors()\n"
        "assert len(os.listdir('/proc/self/fd')) == len(before) + 1\n"
        "try:\n"
        f"    os.write({descriptor}, b'lost')\n"
        "except OSError:\n"
        "    os._exit(42)\n"
    )
    command = [sys.executable, "-c", script]
    ended = subprocess.run(command, cwd=ROOT, check=False, timeout=20)
    assert ended.returncode == 42


def test_an_early_hangup_does_not_end_it(tmp_path: Path) -> None:
    """A reload that is asked for while it starts is no reason to die."""
    (tmp_path / "policy.yaml").write_text("default: deny\nrules: []\n")
    port = free_port()
    settings = {
        "identity": identity(tmp_path, "/ns/shop/sa/api", new_authority()),
        "inbound": {
            "listeners": [{"listen": "127.0.0.1:0", "destination": "127.0.0.1:1"}]
        },
        "policy": "policy.yaml",
        "admin": {"listen": f"unix:{tmp_path}/admin"},
        "telemetry": {"listen": f"127.0.0.1:{port}"},
    }
    path = tmp_path / "sidecar.yaml"
    path.write_text(yaml.safe_dump(settings))
    # Hangs up when the files are being read, which nothing else would show.
    script = (
        "import argparse, os, pathlib, signal\n"
        "from sidecar import early_signals\n"
        "early_signals.prepare(['run'])\n"
        "from sidecar.commands import run\n"
        "check = run.check\n"
        "def slow(*args):\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    return check(*args)\n"
        "run.check = slow\n"
        f"path = pathlib.Path({str(path)!r})\n"
        "named = {'config': path, 'worker': None, 'endpoint_socket': None}\n"
        "named |= {'log_level': 'info', 'app_probes': '', 'rules': ''}\n"
        "raise SystemExit(run.main(argparse.Namespace(**named)))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, b"")
        assert any(b'"event":"ready"' in line for line in lines)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()


def test_it_takes_as_many_descriptors_as_it_may() -> None:
    script = (
        "import resource\n"
        "from sidecar.commands.run import _take_all_descriptors\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 200))\n"
        "_take_all_descriptors()\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE))\n"
    )
    command = (sys.executable, "-c", script)
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    assert ended.stdout == b"(200, 200)\n"
