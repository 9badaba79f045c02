"""The image that `Dockerfile` describes: built with buildah, and run as a cluster does.

No registry is asked. The base comes from debootstrap, as Debian's image of that name
does, and bears its name in a storage of our own, `$XDG_CACHE_HOME/sidecar/image`. What
is built stays there in layers, so only what has changed is built anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from tests.support.processes import ROOT
from tests.support.programs import require

if TYPE_CHECKING:
    from collections.abc import Iterator

BASE = "debian:bookworm-slim"
EPOCH = "1700000000"
"""What dates the files (SOURCE_DATE_EPOCH); any moment will do."""

_PATIENCE = 900
"""Seconds, for whoever fetches packages."""
_MANY = 300
"""Layers of earlier builds, after which the next one begins afresh."""
_MIRROR = "http://deb.debian.org/debian"
# What Debian's own slim image leaves out, too.
_SLIM = """\
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
"""
_EXCLUDED = ("usr/share/doc", "usr/share/locale", "usr/share/man", "var/lib/apt/lists")

# Inside a mount namespace of its own, as the container's init would: the root read-only,
# and no shell for whoever might want one.
_ENTER = """\
set -e
root=$1 folder=$2; shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount --bind "$folder" "$root/etc/sidecar"
for shell in bash dash; do mount --bind /dev/null "$root/bin/$shell"; done
mount -o remount,bind,ro "$root"
exec chroot "$root" "$@"
"""
_UNPRIVILEGED = (
    "--reuid=1337",
    "--regid=1337",
    "--clear-groups",
    "--bounding-set=-all",
)
_INIT = ("--clear-groups", "--bounding-set=-all,+net_admin,+net_raw")


@frozen
class Image:
    """One image, and its files.

    Attributes:
        identifier: Says all that is in it; two images that share it are the same.
        root: Its files, mounted.
        config: What it says of itself (OCI image configuration, `config`).
        size: Bytes, of all layers unpacked.
    """

    identifier: str
    root: Path
    config: dict[str, Any]
    size: int

    def command(self, folder: Path, *words: str, init: bool = False) -> list[str]:
        """What runs the image with *words* as its arguments.

        Args:
            folder: Is mounted at /etc/sidecar.
            words: Follow the entry point.
            init: As an init container: as root, with NET_ADMIN and NET_RAW alone.
        """
        path = self.config["Env"][0]
        assert path.startswith("PATH=")
        enter = [str(require("unshare")), "--mount", "/bin/sh", "-c", _ENTER, "enter"]
        clean = ["/usr/bin/env", "-i", "-C", self.config["WorkingDir"]]
        limits = _INIT if init else _UNPRIVILEGED
        return [
            *(*enter, str(self.root), str(folder), *clean, *self.config["Env"]),
            *("setpriv", "--no-new-privs", "--inh-caps=-all", *limits, "--"),
            *(*self.config["Entrypoint"], *words),
        ]


@contextmanager
def built() -> Iterator[tuple[Image, Image]]:
    """Build the image; give it and its base, with their files."""
    with _storage() as folder:
        if len(_buildah(folder, "images", "--all", "--quiet").split()) > _MANY:
            _buildah(folder, "rmi", "--prune", "--force")
        base = _base(folder)
        image = _build(folder, "--layers", "--tag", "sidecar")
    with _mounted(folder, image) as made, _mounted(folder, base) as below:
        yield made, below


def build_again() -> str:
    """Build the image once more, from nothing but its base; give its identifier.

    An image of which that is known already is not built a third time.
    """
    with _storage() as folder:
        _base(folder)
        image = _build(folder, "--layers")
        known = folder / f"again-{image}"
        if not known.exists():
            again = _build(folder, "--layers", "--no-cache")
            known.write_text(again)
            if again != image:
                _buildah(folder, "rmi", again)
        return known.read_text()


@contextmanager
def _storage() -> Iterator[Path]:
    """A folder for the images, for one process at a time."""
    home = os.getenv("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home, "sidecar", "image")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _buildah(folder: Path, command: str, *words: str | Path) -> str:
    place = ("--root", folder / "root", "--runroot", folder / "run")
    ended = subprocess.run(
        [
            require("buildah"),
            *place,
            "--storage-driver",
            _driver(folder),
            command,
            *words,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE,
    )
    assert ended.returncode == 0, f"buildah {command}: {ended.stdout}{ended.stderr}"
    return ended.stdout.strip()


@cache
def _driver(folder: Path) -> str:
    """What keeps the layers: copies of everything where overlays are not to be had."""
    place = ("--root", folder / "root", "--runroot", folder / "run")
    ended = subprocess.run(
        [require("buildah"), *place, "--storage-driver", "overlay", "info"],
        capture_output=True,
        check=False,
    )
    return "vfs" if ended.returncode else "overlay"


def _base(folder: Path) -> str:
    """Make the base, unless it is there; give its identifier."""
    recipe = f"{_SLIM}{_EXCLUDED}{_sources()}"
    name = f"base:{hashlib.sha256(recipe.encode()).hexdigest()[:16]}"
    with suppress(AssertionError):  # there is none yet
        return _identifier(folder, name)
    system = folder / "base"
    shutil.rmtree(system, ignore_errors=True)
    options = ("--variant=minbase", "--merged-usr")
    mirror = _sources()[0].split()[1] if _sources() else _MIRROR
    with (folder / "debootstrap.log").open("w") as log:
        subprocess.run(
            [require("debootstrap"), *options, "bookworm", system, mirror],
            stdout=log,
            stderr=log,
            check=True,
            timeout=_PATIENCE,
        )
    (system / "etc/dpkg/dpkg.cfg.d/slim").write_text(_SLIM)
    if _sources():
        lines = "".join(f"{line}\n" for line in _sources())
        (system / "etc/apt/sources.list").write_text(lines)
    for excluded in _EXCLUDED:
        shutil.rmtree(system / excluded, ignore_errors=True)
    for left in (system / "var/cache/apt").rglob("*.*b*"):
        left.unlink()
    container = _buildah(folder, "from", "scratch")
    _buildah(folder, "add", "--quiet", container, system, "/")
    _buildah(folder, "commit", "--quiet", "--rm", container, BASE)
    _buildah(folder, "tag", BASE, name)
    shutil.rmtree(system)
    return _identifier(folder, name)


def _identifier(folder: Path, name: str) -> str:
    """Give the identifier of an image that is there."""
    asked = ("--type", "image", "--format", "{{.FromImageID}}")
    return _buildah(folder, "inspect", *asked, name)


def _sources() -> list[str]:
    """Where this machine gets Debian's packages, for a base of the same release."""
    wanted = ("--format", "deb $(REPO_URI) $(CODENAME) $(COMPONENT)")
    listed = subprocess.run(
        ["apt-get", "indextargets", *wanted, "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    found = re.findall(r"^deb \S+ bookworm(?:-\S+)? main$", listed, re.MULTILINE)
    return sorted(set(found), key=lambda line: (line.split()[2], line))


def _build(folder: Path, *words: str) -> str:
    """Build `Dockerfile`; give the identifier of the image."""
    mounts = [f"--volume={source}:{at}:ro" for source, at in _pip(folder).items()]
    where = ("--isolation=chroot", "--network=host", "--pull=never", "--quiet")
    dated = (f"--timestamp={EPOCH}", f"--build-arg=SOURCE_DATE_EPOCH={EPOCH}")
    return _buildah(folder, "build", *where, *dated, *mounts, *words, ROOT).split()[-1]


def _pip(folder: Path) -> dict[Path, str]:
    """Where this machine's pip gets packages from, as files for the builder."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # Lines such as global.timeout='60' and :env:.index-url='https://...'.
    settings = dict(re.findall(r"^[\w:]+\.([\w-]+)='(.*)'$", listed, re.MULTILINE))
    mounts = {}
    kept = {"index-url", "extra-index-url", "trusted-host", "proxy", "timeout"}
    lines = [f"{key} = {value}" for key, value in settings.items() if key in kept]
    if certificates := settings.get("cert"):
        mounts[Path(certificates)] = "/run/certificates.crt"
        lines.append("cert = /run/certificates.crt")
    file = folder / "pip.conf"
    file.write_text("\n".join(["[global]", *lines, ""]))
    mounts[file] = "/etc/pip.conf"
    return mounts


@contextmanager
def _mounted(folder: Path, identifier: str) -> Iterator[Image]:
    container = _buildah(folder, "from", "--pull-never", identifier)
    try:
        root = Path(_buildah(folder, "mount", container))
        inspected = json.loads(_buildah(folder, "inspect", container))
        config = inspected["OCIv1"]["config"]
        yield Image(identifier, root, config, _bytes(root))
    finally:
        _buildah(folder, "rm", container)


def _bytes(root: Path) -> int:
    """Sum the sizes of all files; one with several names counts once."""
    sizes = {}
    for path in root.rglob("*"):
        status = path.lstat()
        sizes[status.st_ino] = status.st_size
    return sum(sizes.values())
