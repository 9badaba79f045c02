from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from sidecar.commands import check_manifests
from tests.config.test_manifests import CONFIG, POLICY, manifest

if TYPE_CHECKING:
    import pytest

GOOD = manifest(**{"sidecar.yaml": CONFIG, "policy.yaml": POLICY})
BAD = manifest(**{"sidecar.yaml": CONFIG + "x: 1\n", "policy.yaml": POLICY})
SETTINGS = manifest(**{"injection.yaml": "image: sidecar:1\nimgae: x\n"})


def run(path: Path, *documents: object, as_json: bool = False) -> int:
    path.write_text(yaml.safe_dump_all(documents))
    return check_manifests.main(path, as_json=as_json)


def test_sound_manifests_are_named_on_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "all.yaml", GOOD) == 0
    out, err = capsys.readouterr()
    assert out == "configmap shop/sidecar: ok, its certificates are not here\n"
    assert err == ""


def test_every_problem_of_every_config_map_goes_to_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "all.yaml", BAD, GOOD, SETTINGS) == 2
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert "sidecar.yaml:9: x: unknown key 'x'" in err
    assert "injection.yaml:2: imgae: unknown key 'imgae' (did you mean 'image'?)" in err


def test_programs_get_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "all.yaml", BAD, GOOD, as_json=True) == 2
    bad, good = json.loads(capsys.readouterr().out)
    assert bad["problems"][0]["where"] == "x"
    assert good["ok"]


def test_manifests_come_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = yaml.safe_dump(GOOD).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert check_manifests.main(Path("-"), as_json=False) == 0
    assert "ok" in capsys.readouterr().out


def test_too_much_is_not_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check_manifests, "_LARGEST", 3)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a: b")))
    assert check_manifests.main(Path("-"), as_json=False) == 2
    assert "standard input: larger than" in capsys.readouterr().err


def test_manifests_without_us_are_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "all.yaml", {"kind": "Secret"}) == 2
    assert "no ConfigMap among the manifests has" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_manifests.main(tmp_path / "absent.yaml", as_json=False) == 2
    assert "absent.yaml: no such file" in capsys.readouterr().err
