"""`sidecar check`, and the README followed to the letter."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest
import yaml

from sidecar.config.load import load_config
from sidecar.config.model import Config, Identity, NameKind
from tests.integration.conftest import Application, Town, curl
from tests.support.pki import new_authority, write_bundle, write_crl
from tests.support.ports import free_port
from tests.support.processes import ROOT, Process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

README = (ROOT / "README.md").read_text()


def yaml_blocks() -> list[str]:
    found = re.findall(r"^ *```yaml\n(.*?)^ *```$", README, re.MULTILINE | re.DOTALL)
    return [dedent(block) for block in found]


SERVER, POLICY, CLIENT, REFERENCE, AGENT, CASES, ROUTE_CASES = yaml_blocks()


def sidecar(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command line as the README has it, from a user's own folder."""
    program, *arguments = shlex.split(command)
    assert program == "sidecar"
    run = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from sidecar.cli import main"
    return subprocess.run(
        [sys.executable, "-c", f"{run}; sys.exit(main(sys.argv[1:]))", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def commands(beginning: str) -> list[str]:
    """Find the command lines of the README that begin like this."""
    lines = re.findall(rf"^ +(?:\$ )?({beginning} .*)$", README, re.MULTILINE)
    return [line for line in lines if "|" not in line and "--config FILE" not in line]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which somebody has done what the README says."""
    folder = tmp_path_factory.mktemp("desk")
    made = commands("sidecar certs init") + commands("sidecar certs issue")
    assert len(made) == 3
    for command in made:
        ended = sidecar(command, folder)
        assert (ended.returncode, ended.stderr) == (0, "")
    (folder / "sidecar.yaml").write_text(SERVER)
    (folder / "policy.yaml").write_text(POLICY)
    return folder


def test_the_example_of_the_readme_is_sound_as_it_is_written(desk: Path) -> None:
    (command,) = commands("sidecar check")
    ended = sidecar(command, desk)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("sidecar.yaml: ok\n")
    assert "spiffe://example.org/ns/shop/sa/api" in ended.stdout
    assert "note:" not in ended.stdout


def test_the_cases_of_the_readme_hold_for_its_policy(desk: Path) -> None:
    (desk / "policy-test.yaml").write_text(CASES)
    ended = sidecar("sidecar policy test policy-test.yaml --require-coverage", desk)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout


def test_the_callers_example_is_sound_with_an_identity(desk: Path) -> None:
    identity = {"identity": yaml.safe_load(SERVER)["identity"]}
    (desk / "caller.yaml").write_text(yaml.safe_dump(identity) + CLIENT)
    ended = sidecar("sidecar check caller.yaml", desk)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_cases_of_the_readme_hold_for_the_callers_routes(desk: Path) -> None:
    identity = {"identity": yaml.safe_load(SERVER)["identity"]}
    (desk / "routes.yaml").write_text(yaml.safe_dump(identity) + CLIENT)
    (desk / "route-test.yaml").write_text(f"config: routes.yaml\n{ROUTE_CASES}")
    ended = sidecar("sidecar policy test route-test.yaml --require-coverage", desk)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout


def test_the_readme_shows_what_is_explained(desk: Path) -> None:
    shown = re.search(r"\$ (sidecar policy explain .*)\n((?:    .*\n)+)", README)
    assert shown is not None
    ended = sidecar(shown[1], desk)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert ended.stdout == dedent(shown[2])


def test_an_agent_may_stand_in_the_place_of_the_files(desk: Path) -> None:
    (desk / "agent.yaml").write_text(AGENT + CLIENT)
    ended = sidecar("sidecar check agent.yaml", desk)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (
        "the SVID with the hint 'internal' of "
        "unix:///run/spire/agent-sockets/api.sock, which is not asked now"
    ) in ended.stdout


def test_the_reference_names_every_key_with_its_default(tmp_path: Path) -> None:
    town = Town(tmp_path)
    town.svid("/ns/shop/sa/api", name="tls")
    town.svid("/ns/shop/sa/billing")
    write_bundle(tmp_path, town.authority).replace(tmp_path / "ca.crt")
    legacy = new_authority("legacy.test")
    write_bundle(tmp_path, legacy).replace(tmp_path / "legacy-ca.crt")
    write_crl(tmp_path, town.authority).replace(tmp_path / "ca.crl")
    (tmp_path / "policy.yaml").write_text(POLICY)
    # As it stands, the roots of peers by dns or subject would be for nobody.
    changed = REFERENCE.replace("accept: [spiffe]", "accept: [spiffe, dns]")
    path = tmp_path / "sidecar.yaml"
    path.write_text(changed)
    ended = sidecar("sidecar check sidecar.yaml", tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    config, defaults = load_config(path), Config(Identity())
    for section in ("admin", "telemetry", "tls", "limits", "drain", "workers", "log"):
        assert getattr(config, section) == getattr(defaults, section), section
    assert config.identity.accept == defaults.identity.accept | {NameKind.DNS}
    assert config.inbound.mode == defaults.inbound.mode
    assert config.outbound == defaults.outbound
    assert set(yaml.safe_load(REFERENCE)) == {
        each.name for each in Config.__attrs_attrs__
    }


@pytest.fixture
def guarded(
    desk: Path, tmp_path: Path, application: Application
) -> Iterator[tuple[Process, dict[str, int]]]:
    """Run the README's sidecar; its ports may be taken here, so others stand in."""
    ports = {"8443": free_port(), "8080": application.port, "15020": free_port()}
    files = {"sidecar.yaml": SERVER, "policy.yaml": POLICY}
    for name, text in files.items():
        for written, port in ports.items():
            text = text.replace(written, str(port))  # noqa: PLW2901
        (tmp_path / name).write_text(text.replace("certs-dev", f"{desk}/certs-dev"))
    with (tmp_path / "sidecar.yaml").open("a") as file:
        file.write(f"telemetry: {{listen: '127.0.0.1:{ports['15020']}'}}\n")
        file.write(f"admin: {{listen: 'unix:{tmp_path}/admin.sock'}}\n")
    command = [sys.executable, "-m", "sidecar", "run", "--config"]
    with Process([*command, tmp_path / "sidecar.yaml"], tmp_path, "sidecar") as process:
        process.wait_for_line('"event":"ready"')
        yield process, ports


def test_the_readmes_call_is_answered(
    guarded: tuple[Process, dict[str, int]], desk: Path
) -> None:
    _, ports = guarded
    (command,) = commands("curl --cacert")
    program, *arguments = shlex.split(command.replace("8443", str(ports["8443"])))
    assert program == "curl"
    answer = curl(
        *(each.replace("certs-dev", f"{desk}/certs-dev") for each in arguments)
    )
    assert answer.stdout == '{"path": "/"}\n', answer.stderr
    page = curl(f"http://127.0.0.1:{ports['15020']}/metrics").stdout
    assert (
        'sidecar_connections_total{direction="inbound",outcome="completed"} 1.0' in page
    )


# The command itself


def test_problems_are_told_as_text_and_as_json(desk: Path) -> None:
    (desk / "wrong.yaml").write_text(
        SERVER.replace("listen:", "listn:") + "worker: 2\n"
    )
    text = sidecar("sidecar check wrong.yaml", desk)
    told = sidecar("sidecar check --json wrong.yaml", desk)
    assert (text.returncode, told.returncode) == (2, 2)
    assert (text.stdout, told.stderr) == ("", "")
    value = json.loads(told.stdout)
    assert value["ok"] is False
    for problem in value["problems"]:
        line = f"{problem['file']}:{problem['line']}: {problem['where']}: {problem['what']}"
        assert line in text.stderr
    assert text.stderr.startswith(f"wrong.yaml: {len(value['problems'])} problems\n")
    assert "did you mean 'listen'" in text.stderr
    assert "did you mean 'workers'" in text.stderr


def test_a_sound_configuration_is_told_as_json(desk: Path) -> None:
    ended = sidecar("sidecar check --json sidecar.yaml", desk)
    value = json.loads(ended.stdout)
    assert (ended.returncode, value["ok"], value["problems"]) == (0, True, [])


@pytest.mark.parametrize("name", ["absent.yaml", ".", "certs-dev/ca.key"])
def test_what_is_no_configuration_is_bad_input(desk: Path, name: str) -> None:
    ended = sidecar(f"sidecar check {name}", desk)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith(name)
    assert "Traceback" not in ended.stderr
    assert "PRIVATE KEY" not in ended.stderr
