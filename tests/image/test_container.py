"""The image at work: as a cluster runs it, on a read-only root, with next to no rights."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidecar import __version__
from tests.integration.conftest import API, FRONTEND, Town, application, curl, data_port
from tests.netns.pods import Namespace
from tests.support.pki import identity
from tests.support.ports import free_port
from tests.support.sidecars import Sidecar

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from tests.integration.conftest import Application
    from tests.support.image import Image

__all__ = ["application"]

PROXY = 1337
READ_ONLY = 1
"""ST_RDONLY of statvfs(3)."""


class ImageSidecar(Sidecar):
    """`sidecar run` through the entry point of the image."""

    def __init__(
        self,
        image: Image,
        folder: Path,
        configuration: Mapping[str, Any],
        policy: Mapping[str, Any],
    ) -> None:
        super().__init__(folder, configuration, policy)
        inside = f"/etc/sidecar/{self.configuration_file.name}"
        self.command = image.command(folder, "run", "--config", inside)
        for path in (folder, *folder.iterdir()):
            os.chown(path, PROXY, PROXY)

    def status(self) -> dict[str, str]:
        """What the kernel says of the process (proc(5), status)."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return {
            key: value.strip() for key, _, value in (x.partition(":") for x in lines)
        }


def api(image: Image, folder: Path, town: Town, port: int) -> ImageSidecar:
    files = identity(folder, API, town.authority)
    beside = {
        "certificate_chain": Path(files["certificate_chain"]).name,
        "private_key": Path(files["private_key"]).name,
        "trust_bundles": {
            "example.org": Path(files["trust_bundles"]["example.org"]).name
        },
    }
    listener = {
        "listen": f"127.0.0.1:{free_port()}",
        "destination": f"127.0.0.1:{port}",
    }
    rule = {"name": "frontend", "action": "allow", "peers": [FRONTEND], "ports": [port]}
    return ImageSidecar(
        image,
        folder,
        {"identity": beside, "inbound": {"listeners": [listener]}},
        {"default": "deny", "rules": [rule]},
    )


def test_the_entry_point_is_the_command(image: Image, tmp_path: Path) -> None:
    command = image.command(tmp_path, "--version")
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.strip() == __version__


def test_the_image_serves_mtls_with_no_rights_and_nothing_to_write(
    image: Image, tmp_path: Path, application: Application
) -> None:
    (tmp_path / "pod").mkdir()
    town = Town(tmp_path)
    with api(image, tmp_path / "pod", town, application.port) as sidecar:
        status = sidecar.status()
        assert status["Uid"].split() == [str(PROXY)] * 4
        assert status["Gid"].split() == [str(PROXY)] * 4
        assert not status["Groups"]
        for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb"):
            assert int(status[f"Cap{kind}"], 16) == 0, kind
        assert status["NoNewPrivs"] == "1"
        assert os.statvfs(f"/proc/{sidecar.pid}/root").f_flag & READ_ONLY

        svid = town.svid(FRONTEND)
        address = f"localhost:{data_port(sidecar)}"
        answer = curl(
            *("--cert", svid.certificate_chain, "--key", svid.private_key),
            *("--insecure", f"https://{address}/hello"),
        )
        assert '"/hello"' in answer.stdout, answer.stderr
        assert sidecar.stop() == 0
        (record,) = sidecar.access_records()
        assert (record["peer"], record["outcome"]) == (FRONTEND, "completed")


def test_the_image_redirects_a_pod_with_two_capabilities(
    image: Image, tmp_path: Path
) -> None:
    command = image.command(tmp_path, "redirect", "apply", "--check", init=True)
    with Namespace.new() as space:
        space.run(*command)
        rules = space.rules("nft") + space.rules("legacy")
    for port in (15001, 15006):
        assert rules.count(f"--to-ports {port}") == 2, "once for each family"


def test_a_configuration_that_is_wrong_ends_with_2(
    image: Image, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sidecar.yaml").write_text("identity: {}\ninbuond: {}\n")
    tmp_path.chmod(0o755)
    command = image.command(tmp_path, "check", "/etc/sidecar/sidecar.yaml")
    assert subprocess.run(command, check=False).returncode == 2
    assert "did you mean 'inbound'?" in capfd.readouterr().err
