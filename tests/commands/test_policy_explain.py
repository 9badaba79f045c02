from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

import pytest
import yaml

from sidecar.cli import main
from tests.config.test_manifests import CONFIG, POLICY, manifest
from tests.policytools import books
from tests.policytools.books import CART, FRONTEND

if TYPE_CHECKING:
    from pathlib import Path

PEER = ("--peer", FRONTEND, "--port", "8080")


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.yaml").write_text(books.POLICY)
    (tmp_path / "sidecar.yaml").write_text(books.CONFIG)


def explain(*words: str) -> int:
    return main(["policy", "explain", *words])


def test_the_exit_status_says_whether_it_is_let_in(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert explain("sidecar.yaml", *PEER) == 0
    assert explain("sidecar.yaml", "--peer", CART, "--port", "8080") == 1
    out, err = capsys.readouterr()
    allowed, denied = out.index("allowed by rule"), out.index("denied by default")
    assert (allowed, err) == (0, "")
    assert denied > 0


def test_programs_get_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain("policy.yaml", "--json", *PEER) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["rules_left_out"]) == ("allow", 0)


def test_all_rules_are_shown_when_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = [
        {"name": f"r{n}", "action": "allow", "peers": [CART], "ports": [n]}
        for n in range(1, 31)
    ]
    (tmp_path / "policy.yaml").write_text(json.dumps({"rules": rules}))
    explain("policy.yaml", *PEER)
    assert "and 20 rules further off" in capsys.readouterr().out
    explain("policy.yaml", *PEER, "--all")
    assert capsys.readouterr().out.count("does not match") == 30


def test_everything_wrong_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain("absent.yaml", "--peer", "x", "--port", "y") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(": ")[0] for line in err.splitlines()] == [
        "absent.yaml",
        "  absent.yaml",
        "--peer",
        "--port",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "expected one of FILE and --manifests, got none"),
        (("x", "--manifests", "y"), "expected one of FILE and --manifests, got both"),
        (("policy.yaml", "--config-map", "a/b"), "--config-map: chooses among"),
    ],
)
def test_what_decides_is_named_once(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(*words, *PEER) == 2
    assert said in capsys.readouterr().err


def test_a_source_is_asked_for_where_a_rule_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert explain("policy.yaml", "--unauthenticated", "--port", "9090") == 2
    assert capsys.readouterr().err == (
        "--source: missing: rule 'prometheus' (policy.yaml:7) asks where it comes "
        "from\n"
    )
    words = ("--unauthenticated", "--port", "9090", "--source", "10.1.2.3")
    assert explain("policy.yaml", *words) == 0


def test_what_helm_prints_can_be_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rendered = manifest(**{"sidecar.yaml": CONFIG, "policy.yaml": POLICY})
    (tmp_path / "all.yaml").write_text(yaml.safe_dump(rendered))
    named = ("--manifests", "all.yaml", "--config-map", "shop/sidecar")
    words = ("--peer", "ns/x/sa/y", "--trust-domain", "example.org", "--port", "1")
    assert explain(*named, *words) == 1
    assert "spiffe://example.org/ns/x/sa/y" in capsys.readouterr().out
    named = ("--manifests", "all.yaml", "--config-map", "shop/x")
    assert explain(*named, *words) == 2
    said = "--config-map: expected one of 'shop/sidecar', got 'shop/x'"
    assert said in capsys.readouterr().err


def test_a_certificate_that_cannot_be_read_is_one_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("--certificate", "absent.crt", "--port", "8080")
    assert explain("policy.yaml", *words) == 2
    assert capsys.readouterr().err == "--certificate: absent.crt: no such file\n"


ROUTES = """\
outbound:
  listeners: [{listen: "[::]:15001", destination: original}]
  routes:
    - {name: api, to: [10.0.0.0/8], mode: mtls, peers: ["spiffe://example.org/api"]}
"""


def test_where_the_application_connects_to_is_explained_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sidecar.yaml").write_text(books.CONFIG + ROUTES)
    assert explain("sidecar.yaml", "--to", "10.0.0.1:80") == 0
    assert capsys.readouterr().out.startswith("mutual TLS by route 'api' (sidecar.yam")
    assert explain("sidecar.yaml", "--to", "10.0.0.1:80", "--peer", CART) == 1
    assert "denied in the handshake (unexpected_peer)" in capsys.readouterr().out
    names = ("--resolve", "a.test=10.0.0.1,192.0.2.1")
    assert explain("sidecar.yaml", "--to", "a.test:80", *names, "--json") == 1
    first, second = json.loads(capsys.readouterr().out)
    assert (first["allowed"], second["allowed"]) == (True, False)


def test_a_policy_alone_has_no_routes(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain("policy.yaml", "--to", "10.0.0.1:80") == 2
    assert "--to: routes are in sidecar.yaml, got the policy" in capsys.readouterr().err


def test_everybody_at_every_port_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain("sidecar.yaml", "--matrix") == 0
    first, *_ = capsys.readouterr().out.splitlines()
    assert first.split() == ["8080", "9090", "9091", "other"]
    assert explain("policy.yaml", "--matrix", "--all", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["peers"]) == 6
    assert explain("policy.yaml", "--matrix", *PEER) == 2
    assert "--peer: --matrix shows everybody" in capsys.readouterr().err


def record(**keys: str) -> str:
    both = {"direction": "inbound", "source": "10.0.0.7:1", "destination": "[::1]:8080"}
    return json.dumps({**both, **keys})


def test_an_access_record_is_asked_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = tmp_path / "access.log"
    log.write_text(f"{record(peer=FRONTEND)}\n{record(peer=CART)}\n")
    assert explain("sidecar.yaml", "--record", "access.log") == 1
    assert f"\n  peer      {CART}\n" in capsys.readouterr().out
    piped = io.TextIOWrapper(io.BytesIO(record(peer="dns:a.test").encode()))
    monkeypatch.setattr(sys, "stdin", piped)
    assert explain("policy.yaml", "--record", "-") == 1
    assert "note      a record has one name of a cert" in capsys.readouterr().out


def test_a_record_says_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain("policy.yaml", "--record", "absent", "--matrix", *PEER) == 2
    assert capsys.readouterr().err.splitlines() == [
        "--peer: --record says it (remove one of them)",
        "--port: --record says it (remove one of them)",
        "--matrix: --record says it (remove one of them)",
    ]
    assert explain("policy.yaml", "--record", "absent") == 2
    assert capsys.readouterr().err == "--record: absent: no such file\n"
