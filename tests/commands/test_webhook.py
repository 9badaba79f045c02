from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import pytest

from sidecar.commands import webhook

if TYPE_CHECKING:
    from pathlib import Path


def run(folder: Path, **given: Any) -> int:
    arguments = {
        "listen": "127.0.0.1:0",
        "telemetry": "127.0.0.1:0",
        "cert": folder / "tls.crt",
        "key": folder / "tls.key",
        "client_ca": None,
        "settings": folder / "injection.yaml",
        "fail": "closed",
        "drain_delay": 0.0,
        "log_level": "info",
    }
    return webhook.main(argparse.Namespace(**{**arguments, **given}))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"listen": "webhook:15017"},
            "sidecar webhook: --listen: expected an IP address",
        ),
        ({"telemetry": "15020"}, "sidecar webhook: --telemetry: expected 'host:port'"),
        ({"drain_delay": -1.0}, "--drain-delay: expected seconds, 0 or more"),
    ],
)
def test_an_option_that_makes_no_sense_is_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: Any, said: str
) -> None:
    assert run(tmp_path, **given) == 2
    assert capsys.readouterr().err.startswith(said)


def test_files_that_will_not_do_are_named_all_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "injection.yaml").write_text("imgae: a\nproxy_uid: x\n")
    assert run(tmp_path) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("sidecar webhook: ")
    assert f"{tmp_path}/injection.yaml:1: imgae: unknown key" in err
    assert f"{tmp_path}/tls.crt: --cert: no such file" in err
    assert f"{tmp_path}/tls.key: --key: no such file" in err
