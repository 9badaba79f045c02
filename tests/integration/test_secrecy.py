"""Ensures that nothing which a sidecar says, anywhere, has a private key in it."""

from __future__ import annotations

import base64
import itertools
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from OpenSSL import SSL

from tests.integration.callers import ANSWER, ask
from tests.integration.conftest import API, FRONTEND, Application, Town, data_port
from tests.support.deadlines import eventually
from tests.support.sidecars import Sidecar

if TYPE_CHECKING:
    from tests.support.pki import Pair

CHECK = (sys.executable, "-m", "sidecar", "check")
PAGES = ("/connections", "/config", "/logging", "/", "/nothing")
SHORTEST = 16
"""Bytes of a key in a row: nobody says so many of them by chance."""


def needles(pem: bytes) -> set[bytes]:
    """Every way in which a key is written: PEM, base64, hex, a number, bytes."""
    key = load_pem_private_key(pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    number = key.private_numbers().private_value
    secret = number.to_bytes(32, "big")
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    lines = [line for line in pem.splitlines() if not line.startswith(b"-----")]
    begin = der.index(secret)
    # The parts that are the secret, not what every key on this curve begins with.
    body = base64.b64encode(der)[4 * (begin // 3 + 1) : 4 * ((begin + 32) // 3)]
    assert body[:SHORTEST] in b"".join(lines)
    windows = {
        text[at : at + SHORTEST]
        for text in (secret, body, secret.hex().encode())
        for at in range(len(text) - SHORTEST + 1)
    }
    escaped = repr(secret)[2:-1].encode()
    return windows | {
        secret.hex(":").encode(),
        secret.hex().upper().encode(),
        str(number).encode(),
        escaped,
        b"PRIVATE KEY-----",
    }


class Ear:
    """Collects what is said, and who said it."""

    def __init__(self) -> None:
        self.heard: dict[str, bytes] = {}
        self._number = itertools.count()

    def hear(self, who: str, what: bytes | str) -> None:
        data = what.encode() if isinstance(what, str) else what
        self.heard[f"{who} #{next(self._number)}"] = data

    def pages_of(self, sidecar: Sidecar) -> None:
        for path in ("/metrics", "/readyz", "/livez"):
            self.hear(path, sidecar.get(path)[1])
        for path in PAGES:
            self.hear(path, sidecar.get(path, "admin")[1])

    def processes_of(self, sidecar: Sidecar) -> None:
        for pid in (sidecar.pid, *children(sidecar.pid)):
            for name in ("cmdline", "environ", "comm", "status"):
                self.hear(f"/proc/{name}", Path(f"/proc/{pid}/{name}").read_bytes())

    def output_of(self, sidecar: Sidecar) -> None:
        self.hear("stdout", sidecar.stdout.read_bytes())
        self.hear("stderr", sidecar.stderr.read_bytes())

    def check(self, *keys: bytes) -> None:
        wanted = set().union(*map(needles, keys))
        found = [
            who for who, what in self.heard.items() if any(n in what for n in wanted)
        ]
        assert found == []


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in tasks.split()]


def test_the_needles_are_found() -> None:
    """A test that looks for secrets is worth what it would find."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    secret = key.private_numbers().private_value
    said = (
        pem,
        repr(pem).encode(),
        pem.replace(b"\n", b"\\n"),
        pem[len(pem) // 3 : -40],
        secret.to_bytes(32, "big")[7:],
        f"private_value={secret}".encode(),
        hex(secret).encode(),
    )
    for each in said:
        ear = Ear()
        ear.hear("somebody", b"before " + each + b" after")
        with pytest.raises(AssertionError):
            ear.check(pem)


def breaks(town: Town, own: Pair) -> dict[str, tuple[Path, bytes]]:
    """Every way to write a key, or to put one where it does not belong."""
    good = own.private_key.read_bytes()
    other = town.svid(FRONTEND, name="other").private_key.read_bytes()
    bare = b"".join(good.splitlines()[1:-1])
    return {
        "cut off": (own.private_key, good[: len(good) // 2]),
        "another's": (own.private_key, other),
        "without a head": (own.private_key, bare),
        "in the certificate's place": (own.certificate_chain, good),
        "in the bundle's place": (town.bundle, good),
        "as the configuration": (town.folder / "api.yaml", good),
        "as the policy": (town.folder / "api-policy.yaml", good),
        "a value of the policy": (
            town.folder / "api-policy.yaml",
            json.dumps({"default": good.decode(), "rules": [good.decode()]}).encode(),
        ),
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_sidecar_says_has_no_key_in_it(
    town: Town, application: Application, workers: int
) -> None:
    ear = Ear()
    own = town.svid(FRONTEND)
    api = town.server(application.port, workers=workers, log={"level": "debug"})
    pair = town.svid(API)
    key = pair.private_key.read_bytes()
    with api:
        assert ask(data_port(api), own).endswith(ANSWER)
        ear.processes_of(api)
        for path, content in breaks(town, pair).values():
            good = path.read_bytes()
            before = api.stderr.stat().st_size
            path.write_bytes(content)
            api.post("/reload")
            eventually(lambda: api.stderr.stat().st_size > before, "it is said")  # noqa: B023
            ear.pages_of(api)
            checked = subprocess.run(
                [*CHECK, "--json", str(api.configuration_file)],
                capture_output=True,
                check=False,
            )
            ear.hear("check", checked.stdout + checked.stderr)
            path.write_bytes(good)
        ear.pages_of(api)
        assert api.stop() == 0
    ear.output_of(api)
    ear.check(key)


BUG = """
import datetime, sys
from sidecar.__main__ import main
from sidecar.config.material import load_material
from sidecar.proxy import inbound

async def carry(client, listener, mesh, connection):
    # What holds the key, as careless code would say it.
    material = load_material(mesh.config.identity, datetime.datetime.now(datetime.UTC))
    svid = material.svid
    raise RuntimeError(f"a bug: {svid!r} {material} {mesh!r} {connection!r}")

inbound.carry = carry
sys.argv[0] = "sidecar"
sys.exit(main())
"""


class Buggy(Sidecar):
    program: tuple[str, ...] = (sys.executable, "-c", BUG, "run", "--config")


def test_a_traceback_of_a_bug_has_no_key_in_it(
    town: Town, application: Application
) -> None:
    ear = Ear()
    own = town.svid(FRONTEND)
    plain = town.server(application.port)
    configuration: dict[str, Any] = plain.configuration
    with Buggy(town.folder, configuration, {"rules": []}, "buggy") as buggy:
        with suppress(SSL.Error, OSError):
            ask(data_port(buggy), own)
        buggy.wait_for_line("RuntimeError: a bug: ")
        ear.pages_of(buggy)
    ear.output_of(buggy)
    assert any(b"a bug: Svid(" in said for said in ear.heard.values())
    ear.check((town.folder / "api.key").read_bytes())


def test_a_crash_leaves_no_core_file(town: Town, application: Application) -> None:
    with town.server(application.port, workers=2) as api:
        for pid in (api.pid, *children(api.pid)):
            limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
            (core,) = (line for line in limits if line.startswith("Max core file size"))
            assert core.split()[4] == "0"


def test_a_key_that_everybody_can_read_is_refused_and_said_how_to_mend(
    town: Town, application: Application
) -> None:
    api = town.server(application.port, ready=False)
    key = town.folder / "api.key"
    key.chmod(0o644)
    words = "private key must be for its owner alone, and everybody has access"
    with api:
        assert api.wait() == 2
        assert words in api.errors()
        assert "got mode 0644 (chmod 600, or set identity.allow" in api.errors()
    command = [*CHECK, str(api.configuration_file)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 2
    assert words in checked.stderr
    allowed = {**api.configuration["identity"], "allow_readable_key": True}
    api.write_configuration({**api.configuration, "identity": allowed})
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
