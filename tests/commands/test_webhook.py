from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import pytest

from sidecar.commands import webhook
from tests.support.pki import new_authority, write_svid

if TYPE_CHECKING:
    from pathlib import Path


def run(folder: Path, **given: Any) -> int:
    arguments = {
        "listen": "127.0.0.1:0",
        "telemetry": "127.0.0.1:0",
        "cert": folder / "tls.crt",
        "key": folder / "tls.key",
        "client_ca": None,
        "allow_readable_key": False,
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
        ({"drain_delay": -1.0}, "--drain-delay: expected seconds, 0 or more, got -1"),
    ],
)
def test_an_option_that_makes_no_sense_is_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: Any, said: str
) -> None:
    assert run(tmp_path, **given) == 2
    assert capsys.readouterr().err.startswith(said)


def test_all_that_is_wrong_is_said_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, listen="x", telemetry="y", drain_delay=-1.0) == 2
    err = capsys.readouterr().err
    for word in ("--listen:", "--telemetry:", "--drain-delay:", "--cert:", "--key:"):
        assert word in err


def test_a_key_that_others_can_read_is_refused_unless_that_is_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_svid(tmp_path, new_authority(), "/webhook", name="tls")
    (tmp_path / "tls.key").chmod(0o644)
    assert run(tmp_path) == 2
    err = capsys.readouterr().err
    assert (
        f"{tmp_path}/tls.key: --key: a private key must be for its owner alone" in err
    )
    assert "got mode 0644 (chmod 600, or give --allow-readable-key)" in err
    assert run(tmp_path, allow_readable_key=True) == 2
    assert "--key" not in capsys.readouterr().err


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
