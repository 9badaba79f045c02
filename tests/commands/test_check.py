from __future__ import annotations

import argparse
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sidecar.commands import check
from tests.support.pki import identity, new_authority

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "policy.yaml").write_text("default: deny\nrules: []\n")
    return {
        "identity": identity(tmp_path, "/ns/shop/sa/api", new_authority()),
        "inbound": {
            "listeners": [{"listen": "127.0.0.1:8443", "destination": "127.0.0.1:8080"}]
        },
        "policy": "policy.yaml",
    }


def run(folder: Path, settings: dict[str, Any], *, as_json: bool = False) -> int:
    path = folder / "sidecar.yaml"
    path.write_text(yaml.safe_dump(settings))
    named = {"file": path, "manifests": None, "json": as_json, "endpoint_socket": None}
    return check.main(argparse.Namespace(**named))


def test_what_is_sound_is_summed_up_on_standard_output(
    tmp_path: Path, settings: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, settings) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{tmp_path}/sidecar.yaml: ok\n")
    assert "spiffe://example.org/ns/shop/sa/api" in out
    assert err == ""


def test_problems_go_to_standard_error(
    tmp_path: Path, settings: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    settings["inbound"]["mode"] = "stict"
    settings["policy"] = "absent.yaml"
    assert run(tmp_path, settings) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{tmp_path}/sidecar.yaml: 2 problems\n")
    assert "inbound.mode" in err
    assert "absent.yaml" in err


def test_json_is_on_standard_output_whatever_it_says(
    tmp_path: Path, settings: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, settings, as_json=True) == 0
    sound = json.loads(capsys.readouterr().out)
    settings["inbound"]["mode"] = "stict"
    assert run(tmp_path, settings, as_json=True) == 2
    out, err = capsys.readouterr()
    broken = json.loads(out)
    assert (sound["ok"], sound["problems"]) == (True, [])
    assert broken["ok"] is False
    assert [each["where"] for each in broken["problems"]] == ["inbound.mode"]
    assert err == ""


def test_what_only_openssl_can_tell_is_checked_too(
    tmp_path: Path, settings: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    settings["tls"] = {"groups": ["X25519", "curve-of-the-day"]}
    assert run(tmp_path, settings) == 2
    err = capsys.readouterr().err
    assert "tls.groups: " in err
    assert "'curve-of-the-day'" in err


def test_what_only_openssl_can_tell_has_its_line_and_a_guess(
    tmp_path: Path, settings: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    settings["tls"] = {"groups": ["P256"]}
    assert run(tmp_path, settings) == 2
    err = capsys.readouterr().err
    assert re.search(r"\.yaml:\d+: tls\.groups: ", err)
    assert "'P256' (did you mean 'P-256'?)" in err
