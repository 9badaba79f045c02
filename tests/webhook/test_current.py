from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from attrs import frozen
from prometheus_client import CollectorRegistry

from sidecar.admin.readiness import Readiness
from sidecar.config.problems import ConfigError
from sidecar.webhook.certificate import Files
from sidecar.webhook.current import Current, load
from sidecar.webhook.metrics import WebhookMetrics
from tests.support.pki import new_authority, write_svid

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@frozen
class World:
    """Files, and what is served of them."""

    folder: Path
    registry: CollectorRegistry
    readiness: Readiness
    current: Current

    @property
    def settings(self) -> Path:
        return self.folder / "injection.yaml"

    def reloads(self, what: str, result: str) -> float | None:
        labels = {"what": what, "result": result}
        return self.registry.get_sample_value("sidecar_webhook_reloads_total", labels)


def rotate(folder: Path) -> Files:
    return Files(*write_svid(folder, new_authority(), "/webhook", name="tls"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    files = rotate(tmp_path)
    settings = tmp_path / "injection.yaml"
    settings.write_text("image: sidecar:1\n")
    registry, readiness = CollectorRegistry(), Readiness(())
    loaded = load(files, settings, dt.datetime.now(dt.UTC))
    metrics = WebhookMetrics(registry)
    current = Current(files, settings, loaded, metrics, readiness)
    return World(tmp_path, registry, readiness, current)


def test_what_is_wrong_with_any_file_is_said_at_once(tmp_path: Path) -> None:
    files = Files(tmp_path / "tls.crt", tmp_path / "tls.key")
    (tmp_path / "injection.yaml").write_text("imgae: x\n")
    with pytest.raises(ConfigError) as caught:
        load(files, tmp_path / "injection.yaml", dt.datetime.now(dt.UTC))
    said = str(caught.value)
    assert "imgae: unknown key" in said
    assert "--cert: no such file" in said
    assert "--key: no such file" in said


async def test_what_has_not_changed_is_not_taken_anew(world: World) -> None:
    context = world.current.context
    await world.current.reload()
    assert world.current.context is context
    assert world.reloads("certificate", "success") == 0


async def test_another_certificate_is_served_to_those_who_come_next(
    world: World,
) -> None:
    context = world.current.context
    rotate(world.folder)
    await world.current.reload()
    assert world.current.context is not context
    assert world.reloads("certificate", "success") == 1
    assert world.reloads("settings", "success") == 0


async def test_a_broken_file_leaves_the_last_good_one_in_force(world: World) -> None:
    context = world.current.context
    (world.folder / "tls.key").write_text("nonsense")
    world.settings.write_text("image: sidecar:2\n")
    await world.current.reload()
    assert world.current.context is context
    assert world.current.settings.image == "sidecar:2"
    assert world.reloads("certificate", "failure") == 1
    assert "--key" in world.readiness.warnings["certificate"]
    assert world.readiness.ready
    rotate(world.folder)
    world.settings.write_text("imgae: sidecar:3\n")
    await world.current.reload()
    assert world.current.context is not context
    assert world.current.settings.image == "sidecar:2"
    assert world.readiness.warnings.keys() == {"settings"}


@pytest.fixture
def clock() -> trio.testing.MockClock:
    """Jumps to the next deadline when nothing has happened for a while.

    For a while: files are read in a thread, which the clock knows nothing of.
    """
    return trio.testing.MockClock(autojump_threshold=0.01)


async def until(true: Callable[[], bool], seconds: float) -> None:
    """Wait for as long at most, as the test's clock has it."""
    with trio.fail_after(seconds):
        while not true():  # noqa: ASYNC110 - nothing says when
            await trio.sleep(1)


async def test_a_change_is_seen(world: World, clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.current.watch)
        await trio.sleep(3)
        world.settings.write_text("image: sidecar:2\n")
        await until(lambda: world.current.settings.image == "sidecar:2", 100)
        nursery.cancel_scope.cancel()


async def test_what_was_refused_is_tried_again(
    world: World, clock: trio.testing.MockClock
) -> None:
    world.settings.write_text("nonsense")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.current.watch)
        await until(lambda: (world.reloads("settings", "failure") or 0) >= 2, 200)
        nursery.cancel_scope.cancel()
