"""Reading all files anew, and publishing what has changed.

A file that is broken changes nothing: the last good one serves on, and the log, the
metrics and the readiness probe's answer say what is wrong.
"""

from __future__ import annotations

import gc
import logging
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar, TypeVarTuple, Unpack

import trio

from sidecar.assembly import (
    declare_labels,
    host_names,
    not_reloaded,
    read_again,
)
from sidecar.config.problems import ConfigError
from sidecar.proxy.connection import Generations
from sidecar.proxy.routes import RouteTable
from sidecar.rotation import Rotation
from sidecar.telemetry.log import set_level
from sidecar.watched_files import contents, look, named_files, touched_since
from sidecar.workload.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from sidecar.admin.readiness import Readiness
    from sidecar.config.check import Checked
    from sidecar.config.model import Config
    from sidecar.config.problems import Problem
    from sidecar.policy.compile import CompiledPolicy
    from sidecar.proxy.mesh import Mesh
    from sidecar.telemetry.metrics import What

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_LOG = logging.getLogger(__name__)

# Kubernetes itself takes about a minute to bring a change into a pod; but of the two
# seconds in which those end whom a change concerns, most is to be left to them.
_LOOK_SECONDS: Final = 0.5
# Writers of several files are given this long to finish before they are read.
_SETTLE_SECONDS: Final = 0.1
# What was refused may have been good but for the moment: no descriptor was free to
# read it, a certificate was not valid yet, a new name leads to a file still to come.
_AGAIN_SECONDS: Final = 60.0
# Rules; so many are gone through in some 10 ms.
_LARGE_POLICY: Final = 2000
# File systems take the time of a change from a clock that ticks a few times a second.
_CLOCK_TICK: Final = timedelta(seconds=1)
_WHATS: Final[tuple[What, ...]] = ("config", "policy", "identity")


class Reloader:
    """Keeps the mesh at what the files say; they were read first at *checked_at*.

    Their generations begin at *generations*, where that names any, and at 1.
    """

    def __init__(
        self,
        path: Path,
        checked: Checked,
        checked_at: datetime,
        mesh: Mesh,
        readiness: Readiness,
        generations: Mapping[What, int] = MappingProxyType({}),
    ) -> None:
        self._path = path
        self._checked = checked
        self._checked_at = checked_at
        self._started_with = checked.config
        self._mesh = mesh
        self._readiness = readiness
        self._one_at_a_time = trio.Lock()
        self._refused_at: float | None = None
        self._rotation = Rotation(path, checked, mesh, readiness)
        address = checked.config.identity.workload_api
        self.source = Source(self.receive, self._rotation, address)
        self._generations: dict[What, int] = {}
        for what in _WHATS:
            self._show_generation(what, generations.get(what, 1))
        mesh.put_in_force(Generations(**self._generations))

    async def watch(self) -> None:
        """Look at the files twice a second; reload when their contents have changed.

        A look costs a system call for each file. They are read, in a thread, only
        when one of them is another file than before.
        """
        looked = look(self._files())
        seen = await _in_thread(contents, self._files())
        if touched_since(self._files(), self._checked_at - _CLOCK_TICK):
            await self.reload()
        while True:
            await trio.sleep(_LOOK_SECONDS)
            now = look(self._files())
            if now != looked:
                await trio.sleep(_SETTLE_SECONDS)
                if look(self._files()) != now:
                    continue  # still being written: look again later
                looked = now
                read = await _in_thread(contents, self._files())
                if read != seen:
                    seen = read
                    await self.reload()
            if self._is_time_to_try_again():
                await self.reload()

    async def reload(self) -> list[str]:
        """Read everything; publish it and give [], or give what is wrong with it.

        Cancellation:
            Nothing is published.
        """
        async with self._one_at_a_time:
            now = datetime.now(UTC)
            try:
                with _without_collector() as keep:
                    checked, policy = await _in_thread(
                        read_again, self._path, now, self._checked
                    )
                    self._publish(checked, policy, now)
                    keep(policy)
            except ConfigError as error:
                return self._refuse(error)
            self._refused_at = trio.current_time() if self._rotation.waits else None
            self._readiness.unwarn("reload")
            return []

    async def receive(self, message: bytes) -> None:
        """Put in force what a Workload API has sent, or say what is wrong with it.

        Cancellation:
            Nothing is published.
        """
        async with self._one_at_a_time:
            now = datetime.now(UTC)
            if self._rotation.receive(message, self._checked, now):
                self._now_serving("identity")
                self._mesh.put_in_force(Generations(**self._generations))
            if self._rotation.waits:
                self._refused_at = trio.current_time()

    def _refuse(self, error: ConfigError) -> list[str]:
        problems = [each.located for each in error.problems]
        for each in problems:
            _LOG.error("not reloaded, the last good files serve on: %s", each)
        self._refused_at = trio.current_time()
        self._readiness.warn("reload", *problems)
        for what in {self._broken(each) for each in error.problems}:
            self._mesh.metrics.reloaded(what, ok=False)
        return problems

    def _broken(self, problem: Problem) -> What:
        if problem.where.startswith("identity"):
            return "identity"
        ours = problem.source in {None, str(self._path)}
        return "config" if ours and problem.where != "policy" else "policy"

    def _is_time_to_try_again(self) -> bool:
        refused_at = self._refused_at
        return (
            refused_at is not None
            and trio.current_time() >= refused_at + _AGAIN_SECONDS
        )

    def _publish(
        self, checked: Checked, policy: CompiledPolicy | None, now: datetime
    ) -> None:
        """Put what has changed in the place of the old; connections keep theirs.

        *policy* is what is new of the rules.

        Raises:
            ConfigError: OpenSSL refuses a part of it. Then nothing has changed.
        """
        before, mesh = self._checked, self._mesh
        generations = dict(self._generations)
        if self._rotation.put_in_force(checked, now):
            self._now_serving("identity")
        if policy is not None:
            mesh.policy = policy
            self._now_serving("policy")
        if checked.config != before.config:
            self._publish_config(checked.config, before.config)
        self._checked = checked
        if self._generations != generations:
            mesh.put_in_force(Generations(**self._generations))
            declare_labels(checked, mesh.metrics)
        else:
            # Whoever asked for it, perhaps by a signal, sees that it came.
            _LOG.info("nothing to reload: the files say what is in force")

    def _publish_config(self, config: Config, before: Config) -> None:
        mesh = self._mesh
        for key in not_reloaded(self._started_with, config):
            _LOG.warning("%s: a change takes effect with the next start", key)
        mesh.config = config
        mesh.resize(config.limits)
        self.source.follow(config.identity.workload_api)
        # The listeners that serve are those of the start, and so their destinations.
        mesh.hosts.know([*host_names(self._started_with), *host_names(config)])
        mesh.routes = RouteTable(config.outbound, mesh.hosts.addresses)
        mesh.access_log.access = config.log.access
        if config.log.level is not before.log.level:
            # Another than it was told to begin with, or by the admin listener.
            set_level(config.log.level)
        self._now_serving("config")

    def _now_serving(self, what: What) -> None:
        generation = self._generations[what] + 1
        self._show_generation(what, generation)
        self._mesh.metrics.reloaded(what, ok=True)
        _LOG.info("reloaded", extra={"what": what, "generation": generation})

    def _show_generation(self, what: What, generation: int) -> None:
        self._generations[what] = generation
        self._mesh.metrics.generation(what, generation)

    def _files(self) -> set[Path]:
        return {*named_files(self._path, self._checked.config)}


@contextmanager
def _without_collector() -> Iterator[Callable[[CompiledPolicy | None], None]]:
    """Read what may be large; what is given is told of the policy that came of it.

    The collector would go through a large policy again and again while that grows,
    and nobody has a turn meanwhile: three times 0.4 s for 100,000 rules. It is kept
    from it for good. A policy has no cycles, and what is open beside it leaves none:
    all of that is still freed when it is over, without the collector.
    """

    def keep(policy: CompiledPolicy | None) -> None:
        if policy is not None and len(policy.rules) >= _LARGE_POLICY:
            gc.freeze()

    gc.disable()
    try:
        yield keep
    finally:
        gc.enable()


async def _in_thread(read: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
    # Given up at the end: a file system that hangs must not hold up the exit.
    return await trio.to_thread.run_sync(read, *args, abandon_on_cancel=True)
