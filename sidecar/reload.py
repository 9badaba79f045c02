"""Reading all files anew, and publishing what has changed.

A file that is broken changes nothing: the last good one serves on, and the log, the
metrics and the readiness probe's answer say what is wrong.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import trio

from sidecar.assembly import (
    build_credentials,
    declare_labels,
    host_names,
    not_reloaded,
)
from sidecar.config.check import check
from sidecar.config.files import UnreadableError, read_bounded
from sidecar.config.problems import ConfigError
from sidecar.policy.compile import compile_policy
from sidecar.proxy.routes import RouteTable
from sidecar.telemetry.log import set_level

if TYPE_CHECKING:
    from pathlib import Path

    from sidecar.admin.readiness import Readiness
    from sidecar.config.check import Checked
    from sidecar.config.material import Material
    from sidecar.config.model import Config
    from sidecar.proxy.mesh import Mesh
    from sidecar.telemetry.metrics import What

_LOG = logging.getLogger(__name__)

# Kubernetes itself takes about a minute to bring a change into a pod.
_LOOK_SECONDS: Final = 1.0
# Writers of several files are given this long to finish before they are read.
_SETTLE_SECONDS: Final = 0.1
_LARGEST: Final = 64 * 1024 * 1024


class Reloader:
    """Keeps the mesh at what the files say."""

    def __init__(
        self, path: Path, checked: Checked, mesh: Mesh, readiness: Readiness
    ) -> None:
        self._path = path
        self._checked = checked
        self._mesh = mesh
        self._readiness = readiness
        self._one_at_a_time = trio.Lock()
        self._generations: dict[What, int] = {}
        for what in ("config", "policy", "identity"):
            self._now_serving(what)
        self._show_expiry(checked.material)

    async def watch(self) -> None:
        """Look at the files every second; reload when their contents have changed.

        A look costs a system call for each file. They are read, in a thread, only
        when one of them is another file than before.
        """
        looked = self._look()
        seen = await trio.to_thread.run_sync(self._contents)
        while True:
            await trio.sleep(_LOOK_SECONDS)
            now = self._look()
            if now == looked:
                continue
            await trio.sleep(_SETTLE_SECONDS)
            if self._look() != now:
                continue  # still being written: look again in a second
            looked = now
            contents = await trio.to_thread.run_sync(self._contents)
            if contents != seen:
                seen = contents
                await self.reload()

    async def reload(self) -> list[str]:
        """Read everything; publish it and give [], or give what is wrong with it."""
        async with self._one_at_a_time:
            now = datetime.now(UTC)
            try:
                checked = await trio.to_thread.run_sync(check, self._path, now)
                self._publish(checked)
            except ConfigError as error:
                return self._refuse(error)
            self._readiness.unwarn("reload")
            return []

    def _refuse(self, error: ConfigError) -> list[str]:
        problems = [each.located for each in error.problems]
        for each in problems:
            _LOG.error("not reloaded, the last good files serve on: %s", each)
        self._readiness.warn("reload", problems[0])
        self._mesh.metrics.reloaded("config", ok=False)
        return problems

    def _publish(self, checked: Checked) -> None:
        """Put what has changed in the place of the old; connections keep theirs.

        Raises:
            ConfigError: OpenSSL refuses a part of it. Then nothing has changed.
        """
        before, mesh = self._checked, self._mesh
        new_tls = checked.config.tls != before.config.tls
        if new_tls or checked.material != before.material:
            generation = mesh.credentials.generation + 1
            mesh.credentials = build_credentials(self._path, checked, generation)
            self._now_serving("identity")
            self._show_expiry(checked.material)
        if checked.policy != before.policy:
            mesh.policy = compile_policy(checked.policy)
            self._now_serving("policy")
        if checked.config != before.config:
            self._publish_config(before.config, checked.config)
        self._checked = checked
        declare_labels(checked, mesh.metrics)

    def _publish_config(self, before: Config, config: Config) -> None:
        mesh = self._mesh
        for key in not_reloaded(before, config):
            _LOG.warning("%s: a change takes effect with the next start", key)
        mesh.config = config
        mesh.hosts.know(host_names(config))
        mesh.routes = RouteTable(config.outbound, mesh.hosts.addresses)
        mesh.access_log.access = config.log.access
        set_level(config.log.level)
        self._now_serving("config")

    def _now_serving(self, what: What) -> None:
        generation = self._generations.get(what, 0) + 1
        self._generations[what] = generation
        self._mesh.metrics.generation(what, generation)
        if generation > 1:
            self._mesh.metrics.reloaded(what, ok=True)
            _LOG.info("reloaded", extra={"what": what, "generation": generation})

    def _show_expiry(self, material: Material) -> None:
        metrics = self._mesh.metrics
        metrics.svid_loaded(material.svid.not_valid_after)
        for name, bundle in material.bundles.items():
            metrics.bundle_loaded(name, bundle.expires())

    def _look(self) -> list[tuple[int, ...]]:
        """Tell files apart by what stat(2) says of where their names lead now."""
        found = []
        for path in sorted(self._files()):
            try:
                stat = path.stat()
            except OSError as error:
                found.append((error.errno or 0,))
            else:
                found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
        return found

    def _contents(self) -> bytes:
        """Digest the files that the configuration in force names, and itself."""
        digest = sha256()
        for path in sorted(self._files()):
            try:
                data = read_bounded(path, _LARGEST)
            except UnreadableError as error:
                data = str(error).encode()
            digest.update(str(path).encode() + b"\0" + sha256(data).digest())
        return digest.digest()

    def _files(self) -> set[Path]:
        config = self._checked.config
        identity = config.identity
        named = (
            self._path,
            config.policy,
            identity.certificate_chain,
            identity.private_key,
            identity.name_bundle,
            identity.crl,
            *identity.trust_bundles.values(),
        )
        return {path for path in named if path is not None}
