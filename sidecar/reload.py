"""Reading all files anew, and publishing what has changed.

A file that is broken changes nothing: the last good one serves on, and the log, the
metrics and the readiness probe's answer say what is wrong.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar, TypeVarTuple, Unpack

import trio

from sidecar.assembly import (
    build_credentials,
    declare_labels,
    host_names,
    not_reloaded,
)
from sidecar.config.check import check
from sidecar.config.problems import ConfigError
from sidecar.issued import Issued
from sidecar.policy.compile import compile_policy
from sidecar.proxy.connection import Generations
from sidecar.proxy.routes import RouteTable
from sidecar.telemetry.log import set_level
from sidecar.watched_files import contents, look, named_files, touched_since
from sidecar.workload.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sidecar.admin.readiness import Readiness
    from sidecar.config.check import Checked
    from sidecar.config.material import Material
    from sidecar.config.model import Config
    from sidecar.config.problems import Problem
    from sidecar.proxy.mesh import Mesh
    from sidecar.telemetry.metrics import What

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_LOG = logging.getLogger(__name__)

# Kubernetes itself takes about a minute to bring a change into a pod.
_LOOK_SECONDS: Final = 1.0
# Writers of several files are given this long to finish before they are read.
_SETTLE_SECONDS: Final = 0.1
# What was refused may have been good but for the moment: no descriptor was free to
# read it, a certificate was not valid yet, a new name leads to a file still to come.
_AGAIN_SECONDS: Final = 60.0
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
        self._issued = Issued()
        self.source = Source(self, checked.config.identity.workload_api)
        self._material = checked.material
        self._generations: dict[What, int] = {}
        for what in _WHATS:
            self._show_generation(what, generations.get(what, 1))
        mesh.put_in_force(Generations(**self._generations))
        self._show_expiry(None, checked.material)

    async def watch(self) -> None:
        """Look at the files every second; reload when their contents have changed.

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
                    continue  # still being written: look again in a second
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
                socket = self._checked.endpoint_socket
                checked = await _in_thread(check, self._path, now, socket)
                self._publish(checked, self._issued.material(checked, now))
            except ConfigError as error:
                return self._refuse(error)
            self._refused_at = trio.current_time() if self._issued.problems else None
            self._readiness.unwarn("reload")
            if not self._issued.problems:
                self._readiness.unwarn("identity")
            return []

    async def receive(self, message: bytes) -> None:
        """Put in force what a Workload API has sent, or say what is wrong with it.

        Cancellation:
            Nothing is published.
        """
        async with self._one_at_a_time:
            now = datetime.now(UTC)
            self._issued.receive(message)
            material = self._issued.material(self._checked, now)
            if self._issued.problems:
                self._refuse_message()
            else:
                self._publish(self._checked, material)
                self._readiness.unwarn("identity")

    def withdraw(self, why: str) -> None:
        """Serve no more with what a Workload API has sent: it is not ours any more."""
        self._mesh.credentials.withdrawn = why
        self._readiness.failed("identity", why)

    def lost(self, why: str) -> None:
        """Serve on with what a Workload API has sent, as long as it is valid."""
        if self._mesh.identified.is_set():
            self._readiness.warn("workload_api", why)
        else:
            self._readiness.failed("identity", why)

    def found(self) -> None:
        """The Workload API answers."""
        self._readiness.unwarn("workload_api")

    def _refuse_message(self) -> None:
        problems = [str(each) for each in self._issued.problems]
        for each in problems:
            _LOG.error("not taken, what was issued before serves on: %s", each)
        self._refused_at = trio.current_time()
        self._mesh.metrics.reloaded("identity", ok=False)
        if self._mesh.identified.is_set():
            self._readiness.warn("identity", problems[0])
        else:
            self._readiness.failed("identity", problems[0])

    def _refuse(self, error: ConfigError) -> list[str]:
        problems = [each.located for each in error.problems]
        for each in problems:
            _LOG.error("not reloaded, the last good files serve on: %s", each)
        self._refused_at = trio.current_time()
        self._readiness.warn("reload", problems[0])
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

    def _publish(self, checked: Checked, material: Material | None) -> None:
        """Put what has changed in the place of the old; connections keep theirs.

        Raises:
            ConfigError: OpenSSL refuses a part of it. Then nothing has changed.
        """
        before, mesh = self._checked, self._mesh
        generations = dict(self._generations)
        new_tls = checked.config.tls != before.config.tls
        withdrawn = mesh.credentials.withdrawn is not None
        if material is not None and (
            new_tls or withdrawn or material != self._material
        ):
            self._publish_identity(checked, material)
        if checked.policy != before.policy:
            mesh.policy = compile_policy(checked.policy)
            self._now_serving("policy")
        if checked.config != before.config:
            self._publish_config(checked.config)
        self._checked = checked
        if self._generations != generations:
            mesh.put_in_force(Generations(**self._generations))
        declare_labels(checked, mesh.metrics)

    def _publish_identity(self, checked: Checked, material: Material) -> None:
        mesh = self._mesh
        first = not mesh.identified.is_set()
        withdrawn = mesh.credentials.withdrawn is not None
        generation = mesh.credentials.generation + (not first)
        mesh.credentials = build_credentials(self._path, checked, generation, material)
        self._show_expiry(self._material, material)
        self._material = material
        if first or withdrawn:
            self._readiness.done("identity")
        if first:
            mesh.identified.set()
            _LOG.info("issued", extra={"svid": str(material.svid.name)})
        else:
            self._now_serving("identity")

    def _publish_config(self, config: Config) -> None:
        mesh = self._mesh
        for key in not_reloaded(self._started_with, config):
            _LOG.warning("%s: a change takes effect with the next start", key)
        mesh.config = config
        self.source.follow(config.identity.workload_api)
        # The listeners that serve are those of the start, and so their destinations.
        mesh.hosts.know([*host_names(self._started_with), *host_names(config)])
        mesh.routes = RouteTable(config.outbound, mesh.hosts.addresses)
        mesh.access_log.access = config.log.access
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

    def _show_expiry(self, before: Material | None, material: Material | None) -> None:
        if material is None:
            return
        metrics = self._mesh.metrics
        metrics.svid_loaded(material.svid.not_valid_after)
        for name in before.bundles.keys() - material.bundles.keys() if before else ():
            metrics.bundle_removed(name)
        for name, bundle in material.bundles.items():
            metrics.bundle_loaded(name, bundle.expires())

    def _files(self) -> set[Path]:
        return {*named_files(self._path, self._checked.config)}


async def _in_thread(read: Callable[[Unpack[Ts]], T], *args: *Ts) -> T:
    # Given up at the end: a file system that hangs must not hold up the exit.
    return await trio.to_thread.run_sync(read, *args, abandon_on_cancel=True)
