from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve

from sidecar.config.files import UnreadableError
from sidecar.config.key_file import check_key_file, check_mode
from sidecar.config.material import load_material
from sidecar.config.model import AdditionalIdentity, Identity
from sidecar.config.problems import ConfigError
from tests.config.authorities import NOW, Authority, write_workload
from tests.support.programs import require

IDENTITY = Identity(Path("tls.crt"), Path("tls.key"), {"example.org": Path("ca.crt")})


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A good workload in the working directory."""
    monkeypatch.chdir(tmp_path)
    write_workload(Path(), Authority.root())


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700, 0o100600, 0o611])
def test_a_key_of_its_owner_will_do(mode: int) -> None:
    check_mode(mode, 7, {1, 2})


@pytest.mark.parametrize("mode", [0o640, 0o440, 0o660])
def test_a_group_of_ours_may_read_it(mode: int) -> None:
    """As the kubelet leaves a Secret's file where the pod has an fsGroup."""
    check_mode(mode, 1337, {0, 1337})


@pytest.mark.parametrize("mode", [0o640, 0o440, 0o620])
def test_a_group_of_others_may_not(mode: int) -> None:
    with pytest.raises(UnreadableError) as caught:
        check_mode(mode, 1000, {0, 1337})
    assert "the group 1000, which is none of ours, has access" in str(caught.value)
    assert f"got mode {mode:04o} (chmod 600, or set" in str(caught.value)


@pytest.mark.parametrize("mode", [0o604, 0o444, 0o666, 0o602])
def test_everybody_may_not(mode: int) -> None:
    with pytest.raises(UnreadableError, match="everybody has access"):
        check_mode(mode, 1337, {1337})


def test_a_link_is_followed() -> None:
    Path("link.key").symlink_to("tls.key")  # whose own mode is 0777
    check_key_file(Path("link.key"))
    Path("tls.key").chmod(0o644)
    with pytest.raises(UnreadableError, match="mode 0644"):
        check_key_file(Path("link.key"))


@pytest.mark.parametrize("path", ["absent", "a\0b", "tls.key/below"])
def test_what_cannot_be_read_is_said_elsewhere(path: str) -> None:
    check_key_file(Path(path))


def test_every_identity_is_looked_at() -> None:
    Path("tls.key").chmod(0o644)
    more = AdditionalIdentity(Path("tls.crt"), Path("tls.key"))
    both = evolve(IDENTITY, additional={"billing": more})
    with pytest.raises(ConfigError) as caught:
        load_material(both, NOW)
    assert [problem.where for problem in caught.value.problems] == [
        "identity.private_key",
        "identity.additional.billing.private_key",
    ]
    allowed = evolve(both, allow_readable_key=True)
    assert load_material(allowed, NOW).svid == load_material(allowed, NOW).svid


def test_a_wide_folder_that_is_written_to_is_no_volume() -> None:
    data = Path("..2026_11_22")
    data.mkdir()
    Path("tls.key").rename(data / "tls.key")
    (data / "tls.key").chmod(0o644)
    Path("..data").symlink_to(data)
    Path("tls.key").symlink_to("..data/tls.key")
    with pytest.raises(UnreadableError):
        check_key_file(Path("tls.key"))


VOLUME = """
mount -t tmpfs none {place} && mkdir {place}/..2026_11_22 &&
ln -s ..2026_11_22 {place}/..data && ln -s ..data/tls.key {place}/tls.key &&
cp tls.key {place}/..2026_11_22/ && chmod 644 {place}/..2026_11_22/tls.key &&
cp tls.key {place}/plain.key && chmod 644 {place}/plain.key &&
mount -o remount,ro {place} && exec "$@"
"""
LOOK = """
import sys, pathlib
from sidecar.config.material import load_material
from sidecar.config.material_notes import notes_on_material
from sidecar.config.model import Identity
from tests.config.authorities import NOW
from sidecar.config.files import UnreadableError
from sidecar.config.key_file import check_key_file
for name in ("tls.key", "plain.key"):
    try:
        check_key_file(pathlib.Path(sys.argv[1], name))
    except UnreadableError:
        print("refused", name)
    else:
        print("taken", name)
own = pathlib.Path("tls.crt"), pathlib.Path(sys.argv[1], "tls.key")
identity = Identity(*own, {"example.org": pathlib.Path("ca.crt")})
notes = notes_on_material(identity, load_material(identity, NOW), NOW)
print("notes:", [each.what for each in notes])
"""


def test_a_volume_of_kubernetes_has_the_mode_that_it_has(tmp_path: Path) -> None:
    """A Secret without `defaultMode`, mounted as the kubelet does it."""
    place = tmp_path / "volume"
    place.mkdir()
    namespace = ["--mount"] if os.geteuid() == 0 else ["--mount", "--map-root-user"]
    script = VOLUME.format(place=place)
    look = [sys.executable, "-c", LOOK, str(place)]
    done = subprocess.run(
        [require("unshare"), *namespace, "sh", "-c", script, "sh", *look],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": os.defpath},
    )
    said = ["taken tls.key", "refused plain.key", "notes: []"]
    assert done.stdout.splitlines() == said, done
