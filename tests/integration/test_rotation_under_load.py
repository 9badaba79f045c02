"""No caller notices that certificates change under it, however they are written.

`pytest --soak` makes it 500 connections a second for a minute of each way.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import secrets
import shutil
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from attrs import field, frozen
from OpenSSL import SSL

from sidecar.certs.authority import HOUR
from sidecar.certs.pem import chain_pem, key_pem
from sidecar.identity.spiffe_id import SpiffeId
from tests.integration.callers import tls
from tests.integration.conftest import API, FRONTEND, Town, data_port, read_to_end
from tests.support.deadlines import eventually
from tests.support.pki import new_authority, now, pem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from sidecar.certs.authority import Authority
    from tests.support.pki import Pair
    from tests.support.sidecars import Sidecar

    Files = Mapping[str, bytes]
    Write = Callable[[Path, Files], None]

CERTIFICATE, KEY, BUNDLE = "tls.crt", "tls.key", "ca.crt"
WORDS = b"here I am\n"
CALLERS = 32
PATIENCE = 30


# --- the ways of writing --------------------------------------------------------------


def swap_a_link(folder: Path, files: Files) -> None:
    """As the kubelet does it for a secret, and cert-manager's csi-driver-spiffe."""
    data = folder / f"..{secrets.token_hex(8)}"
    data.mkdir(parents=True)
    before = folder / "..data"
    old = before.resolve() if before.is_symlink() else None
    for name, content in files.items():
        write(data / name, content)
        with suppress(FileExistsError):
            (folder / name).symlink_to(f"..data/{name}")
    fresh = folder / "..data_tmp"
    fresh.symlink_to(data.name)
    fresh.replace(before)
    if old is not None:
        shutil.rmtree(old)


def rename_one_by_one(folder: Path, files: Files) -> None:
    """As `sidecar certs issue --force` does it, and who is careful with each file."""
    for name, content in files.items():
        fresh = folder / f".{name}"
        write(fresh, content)
        fresh.replace(folder / name)


def write_in_place(folder: Path, files: Files) -> None:
    """As spiffe-helper does it: cut off, then filled, one file after the other."""
    for name, content in files.items():
        write(folder / name, content)


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.touch(0o600)
    with path.open("wb", buffering=0) as file:
        # In pieces: whoever reads meanwhile sees half of it.
        file.write(content[: len(content) // 2])
        file.write(content[len(content) // 2 :])


WAYS: tuple[Write, ...] = (swap_a_link, rename_one_by_one, write_in_place)


# --- what is written ------------------------------------------------------------------


def svid_files(authority: Authority, spiffe_id: str, *roots: Authority) -> Files:
    """Make a new SVID, and the bundle of these authorities or of its own."""
    svid = authority.issue(SpiffeId.parse(spiffe_id), now=now())
    return {
        CERTIFICATE: chain_pem(svid.chain),
        KEY: key_pem(svid.private_key),
        BUNDLE: pem([each.root for each in roots or (authority,)]),
    }


def with_the_key_of_another(authority: Authority, spiffe_id: str) -> Files:
    other = svid_files(authority, spiffe_id)
    return {**svid_files(authority, spiffe_id), KEY: other[KEY]}


def with_half_a_certificate(authority: Authority, spiffe_id: str) -> Files:
    files = svid_files(authority, spiffe_id)
    return {**files, CERTIFICATE: files[CERTIFICATE][:200]}


def with_an_empty_bundle(authority: Authority, spiffe_id: str) -> Files:
    return {**svid_files(authority, spiffe_id), BUNDLE: b""}


def that_has_expired(authority: Authority, spiffe_id: str) -> Files:
    begin = now() - 2 * HOUR
    minute = dt.timedelta(minutes=1)
    svid = authority.issue(SpiffeId.parse(spiffe_id), now=begin, lifetime=minute)
    files = svid_files(authority, spiffe_id)
    pair = {CERTIFICATE: chain_pem(svid.chain), KEY: key_pem(svid.private_key)}
    return {**files, **pair}


BROKEN = (
    with_the_key_of_another,
    with_half_a_certificate,
    with_an_empty_bundle,
    that_has_expired,
)


# --- who calls ------------------------------------------------------------------------


@contextmanager
def speaking_first() -> Iterator[int]:
    """Run an application that says its words to everybody, and ends."""

    def accept() -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                with sock, suppress(OSError):
                    sock.sendall(WORDS)

    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    thread = threading.Thread(target=accept)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@frozen
class Load:
    """Callers that come so often, until told to stop; and what became of them."""

    port: int
    rate: int
    ended: Counter[str] = field(factory=Counter)
    stop: threading.Event = field(factory=threading.Event)

    def call(self) -> str:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 10) as sock:
                heard = read_to_end(sock)
        except OSError as error:
            return f"{type(error).__name__}: {error}"
        return "good" if heard == WORDS else f"heard {heard!r}"

    def keep_calling(self, number: int) -> Counter[str]:
        mine: Counter[str] = Counter()
        pace = CALLERS / self.rate
        due = time.monotonic() + pace * number / CALLERS
        while not self.stop.wait(max(due - time.monotonic(), 0)):
            mine[self.call()] += 1
            due += pace
        return mine


@contextmanager
def calling(sidecar: Sidecar, rate: int) -> Iterator[Load]:
    load = Load(data_port(sidecar), rate)
    with ThreadPoolExecutor(CALLERS) as callers:
        try:
            running = [callers.submit(load.keep_calling, n) for n in range(CALLERS)]
            yield load
        finally:
            load.stop.set()
        for each in running:
            load.ended.update(each.result())


# --- two sidecars, each with a folder of its own --------------------------------------


@frozen
class Pairing:
    """Who calls whom, and the way in which the certificates of both are written."""

    town: Town
    write: Write

    def publish(self, name: str, files: Files) -> None:
        self.write(self.town.folder / name, files)

    def identity(self, name: str) -> dict[str, object]:
        place = self.town.folder / name
        return {
            "certificate_chain": str(place / CERTIFICATE),
            "private_key": str(place / KEY),
            "trust_bundles": {self.town.authority.trust_domain: str(place / BUNDLE)},
        }

    @contextmanager
    def running(self) -> Iterator[tuple[Sidecar, Sidecar]]:
        """Start both; the one that is called comes first."""
        quiet: dict[str, Any] = {"log": {"access": "failures"}}
        for name, spiffe_id in NAMES.items():
            (self.town.folder / name).mkdir()
            self.publish(name, svid_files(self.town.authority, spiffe_id))
        with speaking_first() as application:
            api = self.town.server(application, identity=self.identity("api"), **quiet)
            with api:
                frontend = self.town.client(
                    data_port(api), identity=self.identity("frontend"), **quiet
                )
                with frontend:
                    yield api, frontend


NAMES = {"api": API, "frontend": FRONTEND}


def generation(sidecar: Sidecar) -> float:
    return sidecar.metrics().sum("sidecar_generation", what="identity")


def refused(sidecar: Sidecar) -> float:
    return sidecar.metrics().sum(
        "sidecar_reloads_total", what="identity", result="failed"
    )


def moved(look: Callable[[Sidecar], float], sidecar: Sidecar) -> Callable[[], bool]:
    before = look(sidecar)
    return lambda: look(sidecar) > before


def failed_handshakes(sidecar: Sidecar) -> float:
    return sidecar.metrics().sum("sidecar_handshakes_total", result="failed")


@pytest.mark.parametrize("write", WAYS, ids=lambda way: way.__name__)
def test_no_connection_fails_while_svids_rotate_and_every_fifth_is_broken(
    town: Town, write: Write, request: pytest.FixtureRequest
) -> None:
    soak = request.config.getoption("--soak")
    rate, rotations = (500, 60) if soak else (60, 6)
    broken = itertools.cycle(BROKEN[WAYS.index(write) :] + BROKEN[: WAYS.index(write)])
    pairing = Pairing(town, write)
    began = time.monotonic()
    with pairing.running() as (api, frontend), calling(frontend, rate) as load:
        for number in range(1, rotations + 1):
            make = next(broken) if number % 5 == 0 else svid_files
            look = refused if number % 5 == 0 else generation
            seen = [moved(look, each) for each in (api, frontend)]
            for name, spiffe_id in NAMES.items():
                pairing.publish(name, make(town.authority, spiffe_id))
            for each in seen:
                eventually(each, f"rotation {number} is noticed", PATIENCE)
        load.stop.set()
        took = time.monotonic() - began
        for sidecar in (api, frontend):
            good = 1 + rotations - rotations // 5
            # File by file, a broken set may be a good one before its last file comes.
            assert generation(sidecar) >= good
            assert generation(sidecar) == good or write is not swap_a_link
            assert refused(sidecar) >= rotations // 5
            assert failed_handshakes(sidecar) == 0
            assert sidecar.access_records() == []  # of failures alone
    assert load.ended.keys() == {"good"}, load.ended
    assert load.ended["good"] >= 20 * rotations
    print(f"{load.ended['good']} connections in {took:.0f} s")  # noqa: T201


def test_a_new_root_takes_over_and_the_old_ones_peers_go_with_it(
    town: Town, request: pytest.FixtureRequest
) -> None:
    """Trust both, show the new, drop the old: callers notice nothing of it."""
    old, new = town.authority, new_authority(town.authority.trust_domain)
    pairing = Pairing(town, swap_a_link)
    left_behind = town.svid(FRONTEND, name="left-behind")
    rate = 500 if request.config.getoption("--soak") else 60
    with pairing.running() as (api, frontend), calling(frontend, rate) as load:

        def publish(signer: Authority, *roots: Authority) -> None:
            for sidecar, (name, spiffe_id) in zip(
                (api, frontend), NAMES.items(), strict=True
            ):
                taken_up = moved(generation, sidecar)
                pairing.publish(name, svid_files(signer, spiffe_id, *roots))
                eventually(taken_up, f"{name} takes it up", PATIENCE)

        publish(old, old, new)
        assert is_let_in(api, left_behind)
        publish(new, old, new)
        assert is_let_in(api, left_behind)
        assert failed_handshakes(api) == 0
        publish(new, new)
        assert not is_let_in(api, left_behind)
        load.stop.set()
        assert failed_handshakes(frontend) == 0
        assert failed_handshakes(api) == 1
        turned_away = api.wait_for_line("handshake_failed")
        assert json.loads(turned_away)["reason"] == "untrusted_chain"
    assert load.ended.keys() == {"good"}, load.ended
    assert load.ended["good"] >= 50


def is_let_in(sidecar: Sidecar, own: Pair) -> bool:
    try:
        with tls(data_port(sidecar), own) as connection:
            return connection.recv(len(WORDS)) == WORDS
    except SSL.Error:
        return False
