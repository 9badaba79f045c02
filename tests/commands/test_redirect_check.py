from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sidecar.cli import main
from sidecar.redirect import exclusive
from sidecar.redirect.options import OPTIONS
from tests.support.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path

CHECK = ["redirect", "check"]
# Captured is what nothing is sent to from here.
NOWHERE = ["--include-outbound-cidrs", "127.0.0.0/8,::1/128"]
KUBERNETES = "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (*(option.variable for option in OPTIONS), *KUBERNETES):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", "")


def findings(
    capsys: pytest.CaptureFixture[str], *words: str
) -> list[dict[str, str | None]]:
    assert main([*CHECK, *NOWHERE, "--json", *words]) == 1
    value = json.loads(capsys.readouterr().out)
    assert value["ok"] is value["proven"] is False
    found: list[dict[str, str | None]] = value["findings"]
    return found


def test_where_no_sidecar_listens_it_fails_and_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    port = str(free_port())
    assert main([*CHECK, *NOWHERE, "--outbound-port", port]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert f"nobody listens on the outbound port {port}" in out
    assert out.splitlines()[0].startswith("untested rules: the rules were not looked ")
    assert out.splitlines()[-1].endswith("problems")


def test_json_has_the_findings(capsys: pytest.CaptureFixture[str]) -> None:
    checks = {each["check"] for each in findings(capsys)}
    assert {"rules", "listener", "user", "capture", "service", "guard"} <= checks


def test_bad_options_are_told_all_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--proxy-uid", "0", "--timeout", "soon", "--service", "kubernetes:443"]
    assert main([*CHECK, *words, "--service", "10.96.0.1"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    places = [line.partition(":")[0] for line in err.splitlines()]
    assert places == ["--proxy-uid", "--timeout", "--service", "--service"]


def test_a_bad_configuration_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "sidecar.yaml"
    path.write_text("inbound: {mode: stricter}\n")
    assert main([*CHECK, "--config", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "inbound.mode" in err
    assert main([*CHECK, "--config", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml" in capsys.readouterr().err


def test_what_the_configuration_guards_is_compared_with_the_options(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "policy.yaml").write_text(
        "rules: [{name: shop, action: allow, peers: ['spiffe://x.test/a'],"
        " ports: [8080]}]\n"
    )
    path = tmp_path / "sidecar.yaml"
    path.write_text(
        "identity: {workload_api: 'unix:///run/agent.sock'}\n"
        "inbound: {listeners: [{listen: '[::]:15006', destination: original}]}\n"
        "policy: policy.yaml\n"
    )
    words = ("--config", str(path), "--exclude-inbound-ports", "8080")
    said = [each["what"] for each in findings(capsys, *words)]
    assert (
        "--exclude-inbound-ports lets the inbound port 8080 by, and the policy rule"
        " 'shop' names it" in said
    )


@pytest.mark.parametrize(
    ("host", "port", "called"),
    [
        ("127.0.0.1", "9", "127.0.0.1:9 was not called"),
        ("::1", "9", "[::1]:9 was not called"),
        ("10.96.0.1", "", "no service address is known"),
        ("kubernetes", "443", "no service address is known"),
    ],
)
def test_the_service_of_kubernetes_is_called_unless_another_is_named(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    port: str,
    called: str,
) -> None:
    for name, value in zip(KUBERNETES, (host, port), strict=True):
        monkeypatch.setenv(name, value)
    (said,) = [each["what"] for each in findings(capsys) if each["check"] == "service"]
    assert said is not None
    assert said.startswith(called)
    (said,) = [
        each["what"]
        for each in findings(capsys, "--service", "127.0.0.2:1")
        if each["check"] == "service"
    ]
    assert said is not None
    assert said.startswith("127.0.0.2:1 was not called")


def test_what_is_ignored_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    port = str(free_port())
    words = [*CHECK, *NOWHERE, "--outbound-port", port, "--inbound-port", "1"]
    ignored = [word for name in ("listener", "user") for word in ("--ignore", name)]
    assert main(words) == 1
    assert main([*words, *ignored]) == 0
    assert f"note     ipv4 listener: nobody listens on the outbound port {port}" in (
        capsys.readouterr().out
    )


def test_where_another_one_stands_in_for_the_sidecar_it_waits(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exclusive, "NAME", "\0sidecar.test/check")
    with exclusive.exclusive(1):
        assert main([*CHECK, "--before-start", "--timeout", "1"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("sidecar redirect: another `sidecar redirect` is at work")
