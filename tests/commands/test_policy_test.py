from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from sidecar.cli import main
from tests.config.test_manifests import CONFIG, POLICY, manifest
from tests.policytools import books
from tests.policytools.books import CART, FRONTEND

if TYPE_CHECKING:
    from collections.abc import Sequence

GOOD = {"name": "good", "peer": FRONTEND, "port": 8080, "expect": "allow"}
BAD = {"name": "bad", "peer": CART, "port": 8080, "expect": "allow"}
PLAIN = {"name": "plain", "peer": "unauthenticated", "port": 8080, "expect": "deny"}


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("policy.yaml").write_text(books.POLICY)
    Path("sidecar.yaml").write_text(books.CONFIG)


def put(name: str, cases: Sequence[object], **keys: object) -> str:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(yaml.safe_dump({"cases": [*cases], **keys}))
    return name


def run(*words: str) -> int:
    return main(["policy", "test", *words])


def test_the_exit_status_says_whether_all_hold(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(put("a.yaml", [GOOD])) == 0
    assert run(put("b.yaml", [GOOD, BAD])) == 1
    out, err = capsys.readouterr()
    assert out.startswith("a.yaml: 1 case, all hold\n")
    assert "bad: expected allow, got deny by default\n" in out
    assert err == ""


def test_a_configuration_beside_the_cases_comes_before_a_policy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    failed_in_handshake = {**PLAIN, "reason": "plaintext"}
    assert run(put("a.yaml", [failed_in_handshake])) == 0
    assert "\nsidecar.yaml: 0 of 4 rules" in capsys.readouterr().out
    Path("sidecar.yaml").unlink()
    assert run("a.yaml") == 1
    assert "\npolicy.yaml: 0 of 4 rules" in capsys.readouterr().out


@pytest.mark.parametrize("key", ["config", "policy"])
def test_what_decides_is_named_from_where_the_cases_are(
    key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = {"config": "sidecar.yaml", "policy": "policy.yaml"}[key]
    assert run(put("cases/a.yaml", [GOOD], **{key: f"../{name}"})) == 0
    assert f"\ncases/../{name}: 1 of 4 rules" in capsys.readouterr().out


def test_a_rule_that_decides_no_case_fails_only_where_that_is_asked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rule = {"name": "r", "action": "allow", "peers": [FRONTEND, CART]}
    Path("policy.yaml").write_text(yaml.safe_dump({"rules": [rule]}))
    only_default = put("a.yaml", [PLAIN], policy="policy.yaml")
    by_rule = put("b.yaml", [GOOD], policy="policy.yaml")
    assert run(only_default) == 0
    assert run("--require-coverage", only_default) == 1
    said = "--require-coverage: every rule has to decide a case"
    assert capsys.readouterr().err.startswith(said)
    assert run("--require-coverage", only_default, by_rule) == 0


def test_programs_get_json_and_junit(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(put("a.yaml", [GOOD, BAD]), "--json", "--junit", "a.xml") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["files"][0]["failed"]) == (False, 1)
    assert b'failures="1"' in Path("a.xml").read_bytes()
    assert run("a.yaml", "--junit", "absent/a.xml") == 1
    said = "--junit: absent/a.xml: No such file or directory\n"
    assert capsys.readouterr().err == said


def test_what_helm_prints_can_be_tried(capsys: pytest.CaptureFixture[str]) -> None:
    shop = manifest(**{"sidecar.yaml": CONFIG, "policy.yaml": POLICY})
    other = {**shop, "metadata": {"name": "sidecar", "namespace": "other"}}
    Path("all.yaml").write_text(yaml.safe_dump_all([shop, other]))
    named = [put(f"{n}.yaml", [PLAIN], config_map=f"{n}/sidecar") for n in "ab"]
    assert run("--manifests", "all.yaml", *named) == 2
    said = "  a.yaml:6: config_map: expected one of 'shop/sidecar', 'other/sidecar', "
    assert f"{said}got 'a/sidecar'" in capsys.readouterr().err
    assert run("--manifests", "all.yaml", put("c.yaml", [PLAIN])) == 2
    assert "c.yaml: config_map: expected one of" in capsys.readouterr().err
    named = [
        put(f"{n}.yaml", [PLAIN], config_map=f"{n}/sidecar") for n in ("shop", "other")
    ]
    assert run("--manifests", "all.yaml", *named, named[0], "--json") == 0
    coverage = json.loads(capsys.readouterr().out)["coverage"]
    assert [each["decided_by"] for each in coverage] == [
        "configmap shop/sidecar",
        "configmap other/sidecar",
    ]


def test_problems_of_all_files_come_at_once_and_each_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("broken.yaml").write_text("default: dny\n")
    words = [
        put("a.yaml", [GOOD], config_map="shop/sidecar"),
        put("b.yaml", [GOOD], policy="broken.yaml"),
        put("c.yaml", [GOOD], policy="broken.yaml"),
        put("d.yaml", [{**GOOD, "expect": "alow"}]),
        "absent.yaml",
    ]
    assert run(*words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "a.yaml: 1 problem",
        "  a.yaml:6: config_map: stands among manifests, got none (name them with "
        "--manifests)",
        "broken.yaml: 1 problem",
        "  broken.yaml:1: default: expected one of 'deny', 'audit', 'allow', got 'dny' "
        "(did you mean 'deny'?)",
        "d.yaml: 1 problem",
        "  d.yaml:2: cases[0].expect: expected one of 'allow', 'deny', 'audit', got "
        "'alow' (did you mean 'allow'?)",
        "absent.yaml: 1 problem",
        "  absent.yaml: no such file",
    ]


def test_manifests_that_cannot_be_read_are_one_problem(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("--manifests", "absent.yaml", put("a.yaml", [GOOD])) == 2
    assert "absent.yaml: no such file" in capsys.readouterr().err
