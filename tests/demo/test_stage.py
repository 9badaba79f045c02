from __future__ import annotations

import datetime as dt
import signal
import stat
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from cryptography.x509 import load_pem_x509_certificates

from sidecar.config.check import check
from sidecar.demo.stage import (
    API,
    BATCH,
    FRONTEND,
    STRANGER,
    Sidecar,
    StageError,
    _configurations,
    _signals_held_back,
    _start,
    _wait_ready,
    make_certificates,
    stage,
)
from sidecar.identity.svid import Svid

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_certificates(tmp_path)
    return tmp_path


def test_every_workload_has_an_svid_and_a_key_of_its_own(folder: Path) -> None:
    for name, spiffe_id in (
        ("api", API),
        ("frontend", FRONTEND),
        ("batch", BATCH),
        ("stranger", STRANGER),
    ):
        chain, key = folder / f"{name}.crt", folder / f"{name}.key"
        svid = Svid.from_pem(chain.read_bytes(), key.read_bytes(), accept_names=False)
        assert str(svid.name) == spiffe_id
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_the_stranger_is_of_a_trust_domain_that_nobody_trusts(folder: Path) -> None:
    ours = load_pem_x509_certificates((folder / "example.org.crt").read_bytes())
    leaf, *_ = load_pem_x509_certificates((folder / "stranger.crt").read_bytes())
    assert leaf.issuer not in {each.subject for each in ours}


def test_what_it_writes_is_sound_and_deserves_no_word(folder: Path) -> None:
    sidecars = _configurations(folder, 8080)
    for sidecar in sidecars.values():
        checked = check(sidecar.configuration, dt.datetime.now(dt.UTC))
        assert checked.notes == ()
    assert len({each.data_port for each in sidecars.values()}) == 2


def test_a_sidecar_that_does_not_start_is_told_with_what_it_said(
    folder: Path,
) -> None:
    sidecar = Sidecar(1, 2, folder / "wrong.yaml", folder / "access.log")
    sidecar.configuration.write_text("inbonud: {}")
    with ExitStack() as stack:
        process = _start(sidecar, stack)
        expected = r"wrong\.yaml did not start: (?s:.*)inbonud"
        with pytest.raises(StageError, match=expected):
            _wait_ready(sidecar, process)


def test_a_signal_waits_until_a_process_that_is_started_is_known() -> None:
    known = False
    with pytest.raises(KeyboardInterrupt), _signals_held_back():  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        known = True
    assert known
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_both_sidecars_run_in_the_block_and_nothing_is_left() -> None:
    told: list[str] = []
    with stage(told.append) as scene:
        for sidecar in (scene.api, scene.frontend):
            assert sidecar.get("/readyz") == (200, "ready\n")
            assert sidecar.access_records() == []
        certificate, key = scene.credentials("batch")
        assert certificate.exists()
        assert key.exists()
    assert not scene.folder.exists()
    assert len(told) == 2
    with pytest.raises(ConnectionRefusedError):
        scene.api.get("/readyz")
