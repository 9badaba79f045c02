from __future__ import annotations

import contextlib
import datetime as dt
import gc
import json
import logging
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
import yaml
from attrs import define, field
from prometheus_client import CollectorRegistry
from trio.testing import MockClock

from sidecar.admin.readiness import Readiness
from sidecar.assembly import build_mesh
from sidecar.config import load, yaml_document
from sidecar.config.check import check
from sidecar.config.model import AccessLevel, Mode
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policy.evaluate import evaluate
from sidecar.reload import Reloader
from sidecar.telemetry.access_log import AccessLog
from sidecar.telemetry.metrics import Metrics
from tests.support.pki import new_authority, write_bundle, write_svid
from tests.support.sidecars import Samples

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from sidecar.certs.authority import Authority
    from sidecar.config.document import Document
    from sidecar.proxy.mesh import Mesh

HOUR = dt.timedelta(hours=1)
API = "/ns/shop/sa/api"
FRONTEND = "spiffe://example.org/ns/shop/sa/frontend"


@pytest.fixture
def clock() -> MockClock:
    """Jumps to the next deadline when nothing has happened for a while.

    For a while: files are read in a thread, which the clock knows nothing of.
    """
    return MockClock(autojump_threshold=0.01)


@pytest.fixture(autouse=True)
def _log_level(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    before = logging.getLogger().level
    caplog.set_level("INFO")
    yield
    logging.getLogger().setLevel(before)


@define
class Desk:
    """The files of a sidecar, and what it has made of them."""

    folder: Path
    authority: Authority = field(factory=new_authority)
    settings: dict[str, Any] = field(factory=dict)
    mesh: Mesh = field(init=False)
    readiness: Readiness = field(init=False)
    reloader: Reloader = field(init=False)

    def __attrs_post_init__(self) -> None:
        write_svid(self.folder, self.authority, API)
        write_bundle(self.folder, self.authority)
        self.allow(FRONTEND)
        self.configure()

    @property
    def path(self) -> Path:
        return self.folder / "sidecar.yaml"

    def configure(self, **changes: Any) -> None:
        identity = {
            "certificate_chain": "api.crt",
            "private_key": "api.key",
            "trust_bundles": {"example.org": "example.org.bundle.crt"},
        }
        listener = {"listen": "127.0.0.1:8443", "destination": "127.0.0.1:8080"}
        settings = {
            "identity": identity | changes.pop("identity", {}),
            "inbound": {"listeners": [listener]} | changes.pop("inbound", {}),
            "policy": "policy.yaml",
            **changes,
        }
        replace(self.path, yaml.safe_dump(settings))

    def allow(self, *peers: str) -> None:
        rule = {"name": "callers", "action": "allow", "peers": list(peers)}
        policy = {"default": "deny", "rules": [rule]}
        replace(self.folder / "policy.yaml", yaml.safe_dump(policy))

    def rotate(self, lifetime: dt.timedelta = 2 * HOUR, **options: Any) -> None:
        write_svid(self.folder, self.authority, API, lifetime=lifetime, **options)

    def start(self) -> None:
        now = dt.datetime.now(dt.UTC)
        checked = check(self.path, now)
        metrics = Metrics(CollectorRegistry())
        access_log = AccessLog(2, AccessLevel.ALL, metrics.access_records_dropped)
        self.mesh = build_mesh(self.path, checked, metrics, access_log)
        self.readiness = Readiness(())
        self.reloader = Reloader(self.path, checked, now, self.mesh, self.readiness)

    def allows(self, peer: str) -> bool:
        who, source = SpiffeId.parse(peer), ip_address("127.0.0.1")
        return evaluate(self.mesh.policy, who, 8080, source).allowed

    def samples(self) -> Samples:
        return Samples.parse(self.mesh.metrics.render().decode())

    def generations(self) -> dict[str, float]:
        samples = self.samples()
        whats = ("config", "identity", "policy")
        return {what: samples.sum("sidecar_generation", what=what) for what in whats}

    def reloads(self, result: str) -> dict[str, float]:
        samples = self.samples()
        found = {
            what: samples.sum("sidecar_reloads_total", what=what, result=result)
            for what in ("config", "identity", "policy")
        }
        return {what: count for what, count in found.items() if count}


def replace(path: Path, text: str) -> None:
    fresh = path.with_name("fresh")
    fresh.write_text(text)
    fresh.replace(path)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    desk.start()
    yield desk
    desk.mesh.engine.close()


async def test_what_has_not_changed_is_not_published(desk: Desk) -> None:
    before = desk.mesh.credentials, desk.mesh.policy, desk.mesh.routes
    assert await desk.reloader.reload() == []
    assert before == (desk.mesh.credentials, desk.mesh.policy, desk.mesh.routes)
    assert desk.generations() == {"config": 1, "identity": 1, "policy": 1}
    assert desk.reloads("ok") == desk.reloads("failed") == {}


async def test_generations_begin_where_they_are_told_to(desk: Desk) -> None:
    """As those of a process that joins others."""
    now = dt.datetime.now(dt.UTC)
    checked = check(desk.path, now)
    desk.reloader = Reloader(
        desk.path, checked, now, desk.mesh, desk.readiness, {"policy": 7}
    )
    assert desk.generations() == {"config": 1, "identity": 1, "policy": 7}
    desk.allow(FRONTEND, FRONTEND + "-2")
    assert await desk.reloader.reload() == []
    assert desk.generations() == {"config": 1, "identity": 1, "policy": 8}


async def test_a_new_svid_is_the_next_generation(desk: Desk) -> None:
    before, policy = desk.mesh.credentials, desk.mesh.policy
    old_end = desk.samples()["sidecar_svid_expiry_timestamp_seconds"]
    desk.rotate()
    assert await desk.reloader.reload() == []
    after = desk.mesh.credentials
    assert (before.generation, after.generation) == (1, 2)
    assert before.material.svid != after.material.svid
    assert desk.mesh.policy is policy
    assert desk.generations() == {"config": 1, "identity": 2, "policy": 1}
    assert desk.reloads("ok") == {"identity": 1}
    assert desk.samples()["sidecar_svid_expiry_timestamp_seconds"] > old_end


async def test_a_new_policy_decides_from_now_on(desk: Desk) -> None:
    other = "spiffe://example.org/ns/shop/sa/batch"
    desk.allow(other)
    assert desk.allows(FRONTEND)
    assert await desk.reloader.reload() == []
    assert (desk.allows(FRONTEND), desk.allows(other)) == (False, True)
    assert desk.mesh.credentials.generation == 1
    assert desk.reloads("ok") == {"policy": 1}


async def test_a_new_configuration_holds_for_what_can_change(desk: Desk) -> None:
    desk.configure(
        inbound={"mode": "permissive"},
        log={"level": "error", "access": "failures"},
        limits={"handshake_seconds": 3},
        drain={"deadline_seconds": 7},
        outbound={
            "listeners": [],
            "routes": [{"name": "all", "to": ["10.0.0.0/8"], "mode": "plaintext"}],
        },
    )
    assert await desk.reloader.reload() == []
    mesh = desk.mesh
    assert mesh.config.inbound.mode_of(8080) is Mode.PERMISSIVE
    assert mesh.access_log.access is AccessLevel.FAILURES
    assert logging.getLogger().level == logging.ERROR
    assert mesh.config.limits.handshake_seconds == 3
    assert mesh.config.drain.deadline_seconds == 7
    found = mesh.routes.find("10.1.2.3", ("10.1.2.3",), 80)
    assert found is not None
    assert found.name == "all"
    assert desk.generations() == {"config": 2, "identity": 1, "policy": 1}
    rows = desk.samples().sum(
        "sidecar_policy_decisions_total", direction="outbound", rule="all"
    )
    assert rows == 0  # declared, and zero


async def test_a_level_that_was_chosen_stays_while_the_file_says_the_same(
    desk: Desk,
) -> None:
    logging.getLogger().setLevel("WARNING")
    desk.configure(log={"access": "failures"})
    assert await desk.reloader.reload() == []
    assert logging.getLogger().level == logging.WARNING


async def test_new_groups_are_a_new_generation(desk: Desk) -> None:
    desk.configure(tls={"groups": ["P-256"]})
    assert await desk.reloader.reload() == []
    assert desk.generations() == {"config": 2, "identity": 2, "policy": 1}


BREAKS: dict[str, tuple[Callable[[Desk], object], str, str]] = {
    "another's key": (
        lambda desk: write_svid(
            desk.folder, desk.authority, API, name="x"
        ).private_key.replace(desk.folder / "api.key"),
        "identity",
        "identity.private_key",
    ),
    "an expired certificate": (
        lambda desk: desk.rotate(-HOUR),
        "identity",
        "identity.certificate_chain",
    ),
    "no bundle": (
        lambda desk: (desk.folder / "example.org.bundle.crt").unlink(),
        "identity",
        "identity.trust_bundles",
    ),
    "half a certificate": (
        lambda desk: (desk.folder / "api.crt").write_text("-----BEGIN CERT"),
        "identity",
        "identity.certificate_chain",
    ),
    "a pattern that is none": (
        lambda desk: desk.allow("spiffe://*/x"),
        "policy",
        "rules[0].peers[0]",
    ),
    "no policy": (
        lambda desk: (desk.folder / "policy.yaml").unlink(),
        "policy",
        "policy.yaml",
    ),
    "an unknown key": (
        lambda desk: desk.configure(inbonud={}),
        "config",
        "inbonud",
    ),
    "no configuration": (lambda desk: desk.path.unlink(), "config", "sidecar.yaml"),
    "not YAML": (lambda desk: desk.path.write_text("{"), "config", "sidecar.yaml"),
    "a group that OpenSSL does not know": (
        lambda desk: desk.configure(tls={"groups": ["X25519", "P-25519"]}),
        "config",
        "P-25519",
    ),
}


async def test_one_who_reloads_what_is_in_force_is_told_so(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.start()
    before = desk.mesh.generations
    assert await desk.reloader.reload() == []
    assert desk.mesh.generations is before
    assert "nothing to reload: the files say what is in force" in caplog.messages


@pytest.mark.parametrize("case", BREAKS)
async def test_what_is_broken_changes_nothing_and_is_said(
    desk: Desk, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    break_it, what, named = BREAKS[case]
    mesh = desk.mesh
    before = mesh.credentials, mesh.policy, mesh.config, mesh.routes
    break_it(desk)
    problems = await desk.reloader.reload()
    assert named in problems[0]
    assert before == (mesh.credentials, mesh.policy, mesh.config, mesh.routes)
    assert desk.reloads("failed") == {what: 1}
    assert desk.generations() == {"config": 1, "identity": 1, "policy": 1}
    assert desk.readiness.ready
    assert desk.readiness.body() == f"ready\nwarning: reload: {problems[0]}"
    errors = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
    said = "not reloaded, the last good files serve on: "
    assert errors == [said + each for each in problems]

    # and all is well again when it is mended
    desk.rotate()
    write_bundle(desk.folder, desk.authority)
    desk.allow(FRONTEND)
    desk.configure()
    assert await desk.reloader.reload() == []
    assert desk.readiness.body() == "ready"
    assert desk.generations() == {"config": 1, "identity": 2, "policy": 1}


async def test_several_broken_files_are_counted_one_by_one(desk: Desk) -> None:
    desk.rotate(-HOUR)
    desk.allow("spiffe://*/x", "spiffe://*/y")
    problems = await desk.reloader.reload()
    assert len(problems) == 3
    assert desk.reloads("failed") == {"identity": 1, "policy": 1}
    assert desk.readiness.body().splitlines() == [
        "ready",
        *(f"warning: reload: {each}" for each in problems),
    ]


async def test_limits_are_others_from_now_on(desk: Desk) -> None:
    mesh = desk.mesh
    assert mesh.slots.value > 5  # as many as there are descriptors for
    mesh.slots.acquire_nowait()
    desk.configure(limits={"connections": 5, "handshakes": 3, "idle_seconds": 7})
    assert await desk.reloader.reload() == []
    assert mesh.slots.value == 4
    for gate in (mesh.inbound_gate, mesh.outbound_gate):
        assert gate._places.value == 3
    assert mesh.engine._idle_seconds == 7


async def test_a_policy_whose_file_is_the_same_is_not_parsed_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []
    real = yaml_document.parse_document

    def parse(data: bytes, source: str) -> Document:
        parsed.append(Path(source).name)
        return real(data, source)

    monkeypatch.setattr(load, "parse_document", parse)
    policy = desk.mesh.policy
    desk.rotate()
    assert await desk.reloader.reload() == []
    assert parsed == ["sidecar.yaml"]
    assert desk.mesh.policy is policy
    desk.allow("spiffe://example.org/ns/shop/sa/batch")
    assert await desk.reloader.reload() == []
    assert parsed == ["sidecar.yaml", "sidecar.yaml", "policy.yaml"]
    assert not desk.allows(FRONTEND)


async def test_what_is_in_force_is_told_to_what_is_open(desk: Desk) -> None:
    mesh = desk.mesh
    before = mesh.generations
    assert await desk.reloader.reload() == []
    assert mesh.generations is before
    desk.rotate()
    desk.configure(log={"access": "none"})
    assert await desk.reloader.reload() == []
    now = mesh.generations
    assert (now.config, now.policy, now.identity) == (2, 1, 2)


async def test_what_is_fixed_at_start_is_refused_with_a_note_and_the_rest_applies(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    def warned() -> list[str]:
        found = [each for each in caplog.records if each.levelname == "WARNING"]
        caplog.clear()
        return [each.getMessage() for each in found]

    elsewhere = {"listen": "127.0.0.1:9443", "destination": "127.0.0.1:8080"}
    moved: dict[str, Any] = {
        "inbound": {"listeners": [elsewhere], "mode": "permissive"}
    }
    desk.configure(**moved)
    assert await desk.reloader.reload() == []
    note = "inbound.listeners: a change takes effect with the next start"
    assert warned() == [note]
    assert desk.mesh.config.inbound.mode is Mode.PERMISSIVE
    desk.configure(**moved, log={"access": "none"})
    assert await desk.reloader.reload() == []
    assert warned() == [note]  # it still waits
    desk.configure()
    assert await desk.reloader.reload() == []
    assert warned() == []  # that is what runs


async def test_a_trust_domain_that_is_gone_is_not_shown_any_more(desk: Desk) -> None:
    partner = new_authority("partner.test")
    write_bundle(desk.folder, partner)
    bundles = {
        "example.org": "example.org.bundle.crt",
        "partner.test": "partner.test.bundle.crt",
    }
    name = "sidecar_bundle_expiry_timestamp_seconds"
    desk.configure(identity={"trust_bundles": bundles})
    assert await desk.reloader.reload() == []
    assert desk.samples().sum(name, trust_domain="partner.test") > 0
    desk.configure()
    assert await desk.reloader.reload() == []
    with pytest.raises(KeyError):
        desk.samples().sum(name, trust_domain="partner.test")
    assert desk.samples().sum(name, trust_domain="example.org") > 0


async def test_reloads_come_one_after_the_other(desk: Desk) -> None:
    desk.rotate()
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(desk.reloader.reload)
    assert desk.generations() == {"config": 1, "identity": 2, "policy": 1}


async def test_the_collector_is_kept_from_a_large_policy(desk: Desk) -> None:
    before = gc.get_freeze_count()
    desk.allow(FRONTEND, f"{FRONTEND}/2")
    assert await desk.reloader.reload() == []
    assert gc.get_freeze_count() == before
    rules = [
        {"name": f"r{number}", "action": "allow", "peers": [f"{FRONTEND}/{number}"]}
        for number in range(2000)
    ]
    large = {"default": "deny", "rules": rules}
    (desk.folder / "policy.yaml").write_text(json.dumps(large))
    try:
        assert await desk.reloader.reload() == []
        assert desk.allows(f"{FRONTEND}/1999")
        assert gc.get_freeze_count() > before + 2000
    finally:
        gc.unfreeze()
    assert gc.isenabled()


async def test_the_collector_is_at_work_after_a_reload_that_failed(desk: Desk) -> None:
    (desk.folder / "policy.yaml").write_text("default: never")
    assert await desk.reloader.reload()
    assert gc.isenabled()


# Watching


@contextlib.asynccontextmanager
async def watched(desk: Desk) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.reloader.watch)
        await trio.sleep(3)
        yield
        nursery.cancel_scope.cancel()


async def until(happened: Callable[[], object], seconds: float) -> None:
    """Wait for as long at most, as the test's clock has it."""
    with trio.fail_after(seconds):
        while not happened():  # noqa: ASYNC110 - nothing says when
            await trio.sleep(1)


async def test_a_change_is_noticed(desk: Desk, clock: MockClock) -> None:
    async with watched(desk):
        desk.rotate()
        await until(lambda: desk.mesh.credentials.generation == 2, 1000)
        desk.allow("spiffe://example.org/ns/shop/sa/batch")
        await until(lambda: not desk.allows(FRONTEND), 1000)


async def test_a_file_that_is_only_touched_is_no_change(
    desk: Desk, clock: MockClock
) -> None:
    async with watched(desk):
        desk.allow(FRONTEND)
        (desk.folder / "api.crt").touch()
        await trio.sleep(10)
        assert desk.generations() == {"config": 1, "identity": 1, "policy": 1}
        assert desk.reloads("ok") == {}


async def test_a_folder_that_kubernetes_swaps_is_noticed(
    tmp_path: Path, clock: MockClock
) -> None:
    """A volume's names lead through `..data`, which is replaced as a whole."""

    desk = Desk(tmp_path)

    def publish(version: int, lifetime: dt.timedelta) -> None:
        folder = tmp_path / f"..{version}"
        folder.mkdir()
        write_svid(folder, desk.authority, API, lifetime=lifetime)
        fresh = tmp_path / "..data_tmp"
        fresh.symlink_to(folder.name)
        fresh.replace(tmp_path / "..data")

    publish(1, HOUR)
    for name in ("api.crt", "api.key"):
        (tmp_path / name).unlink()
        (tmp_path / name).symlink_to(f"..data/{name}")
    desk.start()
    async with watched(desk):
        publish(2, 2 * HOUR)
        await until(lambda: desk.mesh.credentials.generation == 2, 1000)
    desk.mesh.engine.close()


async def test_a_broken_file_is_noticed_and_a_mended_one_too(
    desk: Desk, clock: MockClock
) -> None:
    async with watched(desk):
        (desk.folder / "api.key").unlink()
        await until(lambda: "warning" in desk.readiness.body(), 1000)
        assert desk.mesh.credentials.generation == 1
        desk.rotate()
        await until(lambda: desk.mesh.credentials.generation == 2, 1000)
        assert desk.readiness.body() == "ready"


async def test_what_changed_while_the_process_started_is_not_missed(
    tmp_path: Path, clock: MockClock
) -> None:
    desk = Desk(tmp_path)
    desk.start()
    desk.allow("spiffe://example.org/ns/shop/sa/batch")
    async with watched(desk):
        await until(lambda: not desk.allows(FRONTEND), 1000)
    desk.mesh.engine.close()


async def test_what_went_while_the_process_started_is_not_missed(
    tmp_path: Path, clock: MockClock
) -> None:
    desk = Desk(tmp_path)
    desk.start()
    (tmp_path / "policy.yaml").unlink()
    async with watched(desk):
        await until(lambda: "warning" in desk.readiness.body(), 1000)
    desk.mesh.engine.close()


async def test_what_is_still_being_written_is_not_read(
    desk: Desk, clock: MockClock
) -> None:
    async with watched(desk):
        for size in range(60):
            # Of another size each time: inodes come again, and the kernel's clock,
            # which is not the test's, may stand still in between.
            desk.allow("spiffe://*/not yet whole" + size * "!")
            await trio.sleep(0.05)
        desk.allow("spiffe://example.org/ns/shop/sa/batch")
        await until(lambda: not desk.allows(FRONTEND), 1000)
        assert desk.reloads("failed") == {}


async def test_what_was_refused_is_tried_again(desk: Desk, clock: MockClock) -> None:
    """The new names lead to files that come late, and that nobody watches."""
    async with watched(desk):
        new = {"certificate_chain": "new.crt", "private_key": "new.key"}
        desk.configure(identity=new)
        await until(lambda: "warning" in desk.readiness.body(), 1000)
        desk.rotate(name="new")
        await trio.sleep(30)
        assert desk.mesh.credentials.generation == 1
        await until(lambda: desk.mesh.credentials.generation == 2, 1000)
        assert desk.readiness.body() == "ready"
        failed = desk.reloads("failed")
        await trio.sleep(120)
        assert desk.reloads("failed") == failed


async def test_what_stays_broken_is_said_every_minute(
    desk: Desk, clock: MockClock
) -> None:
    async with watched(desk):
        (desk.folder / "policy.yaml").unlink()
        began = trio.current_time()
        # By steps: the clock jumps while a thread reads files, but not far then.
        await until(lambda: desk.reloads("failed") == {"policy": 3}, 1000)
        assert trio.current_time() - began >= 120
