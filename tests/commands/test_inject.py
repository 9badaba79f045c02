from __future__ import annotations

import io
import json
import resource
import sys
from pathlib import Path
from typing import Any

import pytest

from sidecar import cli

SETTINGS = "image: registry.example.org/sidecar:0.1.0\n"
POD = """\
# mine
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec:
  containers:
    - {name: web, image: nginx}
"""
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "injection.yaml").write_text(SETTINGS)
    (tmp_path / "pod.yaml").write_text(POD)
    (tmp_path / "service.yaml").write_text(SERVICE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def inject(*arguments: str) -> int:
    return cli.main(["inject", "--settings", "injection.yaml", *arguments])


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.usefixtures("folder")
def test_what_goes_in_comes_out_again(capfd: pytest.CaptureFixture[str]) -> None:
    assert inject("-o", "injected.yaml", "pod.yaml") == 0
    text = Path("injected.yaml").read_text()
    assert text.startswith("# mine\napiVersion: v1\nkind: Pod\nmetadata: {name: web")
    assert "name: sidecar-init" in text
    out, err = capfd.readouterr()
    assert out == ""
    assert err == "pod.yaml, document 1, Pod shop/web: done\n"
    assert cli.main(["uninject", "injected.yaml"]) == 0
    out, err = capfd.readouterr()
    assert out == POD
    assert err == "injected.yaml, document 1, Pod shop/web: done\n"


@pytest.mark.usefixtures("folder")
def test_it_reads_what_is_piped_into_it(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin(monkeypatch, POD.encode())
    assert inject() == 0
    injected = capfd.readouterr().out
    stdin(monkeypatch, injected.encode())
    assert cli.main(["uninject", "-"]) == 0
    out, err = capfd.readouterr()
    assert out == POD
    assert err.startswith("standard input, document 1, Pod shop/web: done")


@pytest.mark.usefixtures("folder")
def test_several_files_become_one_stream(capfd: pytest.CaptureFixture[str]) -> None:
    Path("list.json").write_text('{"kind": "List", "items": []}')
    Path("last.yaml").write_text(f"--- # last\n{SERVICE}")
    assert inject("service.yaml", "list.json", "last.yaml", "service.yaml") == 0
    out, err = capfd.readouterr()
    assert out == (
        f'{SERVICE}---\n{{"kind": "List", "items": []}}\n--- # last\n{SERVICE}'
        f"---\n{SERVICE}"
    )
    assert err == "there is no workload in it\n"


@pytest.mark.usefixtures("folder")
def test_a_preview_shows_the_patch(capfd: pytest.CaptureFixture[str]) -> None:
    Path("node.yaml").write_text(POD.replace("spec:", "spec:\n  hostNetwork: true"))
    assert inject("--patch", "pod.yaml", "node.yaml") == 0
    found: list[dict[str, Any]] = json.loads(capfd.readouterr().out)
    assert [(each["file"], each["kind"], each["name"]) for each in found] == [
        ("pod.yaml", "Pod", "web"),
        ("node.yaml", "Pod", "web"),
    ]
    assert found[0]["patch"][0]["path"] == "/spec/containers/0"
    assert found[0]["notes"] == []
    assert "the network of its node" in found[1]["skipped"]


@pytest.mark.usefixtures("folder")
def test_one_refusal_and_nothing_is_written(capfd: pytest.CaptureFixture[str]) -> None:
    bad = POD.replace(
        "name: web, image", "securityContext: {runAsUser: 1337}, name: a, image"
    )
    Path("bad.yaml").write_text(f"{SERVICE}---\n{bad}")
    assert inject("-o", "out.yaml", "pod.yaml", "bad.yaml") == 2
    out, err = capfd.readouterr()
    assert (out, Path("out.yaml").exists()) == ("", False)
    assert err.splitlines()[1].startswith(
        "bad.yaml, document 2, Pod shop/web: spec.containers[a]: runAsUser 1337 is the"
    )
    assert err.endswith("\nnothing is written\n")


@pytest.mark.usefixtures("folder")
def test_notes_are_said_with_their_workload(capfd: pytest.CaptureFixture[str]) -> None:
    Path("job.yaml").write_text(POD.replace("spec:", "spec:\n  restartPolicy: Never"))
    assert inject("job.yaml") == 0
    assert (
        "job.yaml, document 1, Pod shop/web: note: it ends only when the sidecar does"
        in capfd.readouterr().err
    )


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        ("none.yaml", None, "none.yaml: no such file\n"),
        ("x.yaml", b"a: b\n\xff", "x.yaml, line 2: not UTF-8: 0xff\n"),
        ("x.yaml", b"a: [", "x.yaml, line 2: not YAML: did not find expected"),
    ],
)
def test_what_cannot_be_read_is_said(
    name: str, data: bytes | None, what: str, capfd: pytest.CaptureFixture[str]
) -> None:
    if data is not None:
        Path(name).write_bytes(data)
    assert inject("pod.yaml", name) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(what)


def test_settings_that_are_wrong_are_said_line_by_line(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "injection.yaml").write_text("imag: x\nnative_sidecar: yes\n")
    assert inject("pod.yaml") == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("injection.yaml: 3 problems\n")


def test_all_files_that_will_not_do_are_named_at_once(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (folder / "injection.yaml").write_text("imag: x\n")
    (folder / "broken.yaml").write_text("a: [")
    assert inject("a.yaml", "pod.yaml", "broken.yaml", "b.yaml") == 2
    out, err = capfd.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == "a.yaml: no such file"
    assert lines[1].startswith("broken.yaml, line 2: not YAML")
    assert lines[2] == "b.yaml: no such file"
    assert lines[3] == "injection.yaml: 2 problems"


@pytest.mark.usefixtures("folder")
def test_uninject_names_all_of_them_too(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["uninject", "a.yaml", "pod.yaml", "b.yaml"]) == 2
    assert capfd.readouterr().err == "a.yaml: no such file\nb.yaml: no such file\n"


@pytest.mark.usefixtures("folder")
def test_input_without_end_is_not_read(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin(monkeypatch, b"#" * (64 * 1024 * 1024 + 1))
    assert inject() == 2
    assert capfd.readouterr().err == "standard input: larger than 64 MiB\n"


@pytest.mark.usefixtures("folder")
def test_a_place_that_cannot_be_written_is_a_failure(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert inject("-o", "no/such/folder", "pod.yaml") == 1
    assert capfd.readouterr().err.endswith(
        "no/such/folder: No such file or directory\n"
    )


def test_a_file_can_be_written_where_it_was_read(folder: Path) -> None:
    pod = folder / "pod.yaml"
    pod.chmod(0o640)
    (folder / "link.yaml").symlink_to("pod.yaml")
    assert inject("-o", "link.yaml", "link.yaml") == 0
    assert (folder / "link.yaml").is_symlink()
    assert pod.stat().st_mode & 0o777 == 0o640
    assert cli.main(["uninject", "-o", "pod.yaml", "pod.yaml"]) == 0
    assert pod.read_text() == POD
    assert cli.main(["uninject", "-o", "/dev/null", "pod.yaml"]) == 0


def test_a_full_disk_does_not_cost_what_went_in(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        assert inject("-o", "pod.yaml", "pod.yaml") == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert capfd.readouterr().err.endswith("pod.yaml: File too large\n")
    assert (folder / "pod.yaml").read_text() == POD
    assert [*folder.glob(".pod*")] == []
