from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import programs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "program",
    [
        "buildah",
        "curl",
        "debootstrap",
        "envoy",
        "helm",
        "ip",
        "iptables",
        "kubectl",
        "nginx",
        "openssl",
        "promtool",
        "ps",
        "setpriv",
        "strace",
        "unshare",
    ],
)
def test_what_the_tests_start_is_there(program: str) -> None:
    assert programs.require(program).exists()


def test_a_missing_program_fails_the_test_and_names_its_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(programs, "_FOLDERS", ())
    with pytest.raises(pytest.fail.Exception, match="apt-get install prometheus"):
        programs.require("promtool")


def test_a_program_that_no_set_up_installs_is_not_asked_for() -> None:
    with pytest.raises(LookupError, match="no-such-program"):
        programs.require("no-such-program")


def test_nginx_takes_the_line_that_loads_its_stream_module(tmp_path: Path) -> None:
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(
        f"{programs.nginx_stream_module()}\n"
        f"pid {tmp_path}/nginx.pid;\nevents {{}}\nstream {{}}\n"
    )
    nginx = str(programs.require("nginx"))
    test = [nginx, "-t", "-e", "stderr", "-c", str(configuration)]
    result = subprocess.run(test, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
