from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import pytest

from sidecar.certs.sources import SourceError, read_certificates
from tests.certs.commands import certs
from tests.identity import certificates as make
from tests.identity.test_jwks import document, key
from tests.support.agent import Agent, der, entry, issue, response
from tests.support.pki import new_authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEAF, ROOT = make.leaf(), make.signer()
AUTHORITY = new_authority()
PARTNER = new_authority("partner.test")


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    with Agent(tmp_path / "agent.sock") as agent:
        yield agent


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (make.pem(LEAF, ROOT), (LEAF, ROOT)),
        (der([LEAF, ROOT]), (LEAF, ROOT)),
        (document(key(ROOT), spiffe_sequence=7), (ROOT,)),
        (document(), ()),
    ],
)
def test_a_file_may_be_of_any_of_these(
    tmp_path: Path, data: bytes, found: tuple[object, ...]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    assert read_certificates(str(path)) == found


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"text", r"^expected certificates \(PEM, DER or a JWK Set\), got something"),
        (b"{}", "must have keys"),
        (b"0\x80", "got DER of another kind, or cut off"),
        (make.pem(LEAF)[:99], "got one that cannot be parsed"),
        (bytes(16 * 1024 * 1024 + 1), "larger than 16 MiB"),
    ],
)
def test_a_file_without_certificates_is_refused(
    tmp_path: Path, data: bytes, why: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(SourceError, match=why) as caught:
        read_certificates(str(path))
    assert not caught.value.passing


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file or directory"):
        read_certificates(str(tmp_path / "none"))


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    for where, why in (
        (str(tmp_path), "Is a directory"),
        ("", "No such file or directory"),
        ("https://example.org", r"No such file or directory \(a URL is none\)"),
        ("/dev/zero", "larger than 16 MiB"),
        ("unix:socket", "expected a socket, as in 'unix:///run"),
    ):
        with pytest.raises(SourceError, match=why) as caught:
            read_certificates(where)
        assert not caught.value.passing


def test_a_pipe_is_read_to_its_end_and_never_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(SourceError, match="got an empty file"):
        read_certificates(str(path))
    out, into = os.pipe()

    def write() -> None:
        with os.fdopen(into, "wb") as file:
            for each in (LEAF, ROOT):
                file.write(make.pem(each))
                file.flush()

    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(write)
        assert read_certificates(f"/dev/fd/{out}") == (LEAF, ROOT)
        written.result()
    os.close(out)


def test_standard_input_may_be_shown() -> None:
    def show(data: bytes) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "sidecar", "certs", "show", "-"]
        return subprocess.run(command, input=data, capture_output=True, check=False)

    shown = show(make.pem(LEAF))
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert b"certificate 1 of 1: leaf" in shown.stdout
    nothing = show(b"")
    assert nothing.returncode == 2
    assert nothing.stderr.startswith(b"standard input: expected certificates")


def test_an_agent_s_chains_and_roots_are_read_once_each(agent: Agent) -> None:
    first, second = issue(AUTHORITY, "/a"), issue(AUTHORITY, "/b")
    agent.current = response(
        entry(first, AUTHORITY),
        entry(second, AUTHORITY),
        federated={"spiffe://partner.test": der([PARTNER.root])},
    )
    assert read_certificates(agent.address) == (
        *first.chain,
        *second.chain,
        AUTHORITY.root,
        PARTNER.root,
    )


def test_an_agent_that_has_none_may_have_one_later(agent: Agent) -> None:
    agent.current = grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(SourceError, match="PERMISSION_DENIED: the test") as caught:
        read_certificates(agent.address)
    assert caught.value.passing


@pytest.mark.parametrize("sent", [b"\xff", response()])
def test_an_agent_that_makes_no_sense_is_said(agent: Agent, sent: object) -> None:
    agent.current = sent
    with pytest.raises(SourceError, match="not an answer: "):
        read_certificates(agent.address)


def test_an_agent_needs_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(SourceError, match=r"sidecar\[spire\]"):
        read_certificates("unix:///s")


def test_what_an_agent_has_is_explained(
    agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.current = response(entry(issue(AUTHORITY, "/a"), AUTHORITY))
    assert certs("show", agent.address) == 0
    printed = capsys.readouterr().out
    assert "a peer that trusts its CA knows it as spiffe://example.org/a" in printed
    assert "certificate 2 of 2: signing certificate" in printed
    agent.current = grpc.StatusCode.UNAVAILABLE
    assert certs("show", agent.address) == 1
    assert "UNAVAILABLE" in capsys.readouterr().err


def test_a_bundle_without_keys_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bundle.json"
    path.write_bytes(document())
    assert certs("show", path) == 0
    printed = capsys.readouterr().out
    assert printed == "no certificate: nothing of this domain is trusted\n"
    assert certs("show", "--json", path) == 0
    assert capsys.readouterr().out == "[]\n"
