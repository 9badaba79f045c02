"""Our identity and our trust as they are in force, and how they are followed by others."""

from __future__ import annotations

import logging
from copy import copy
from typing import TYPE_CHECKING

from sidecar.assembly import build_credentials
from sidecar.config.place import problems_under
from sidecar.config.problems import ConfigError
from sidecar.config.succession import steps_back
from sidecar.issued import Issued

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from sidecar.admin.readiness import Readiness
    from sidecar.config.check import Checked
    from sidecar.config.material import Material
    from sidecar.config.problems import Problem
    from sidecar.proxy.mesh import Mesh

_LOG = logging.getLogger(__name__)


class Rotation:
    """Keeps the credentials of *mesh* at what the files or a Workload API say."""

    def __init__(
        self, path: Path, checked: Checked, mesh: Mesh, readiness: Readiness
    ) -> None:
        self._path = path
        self._mesh = mesh
        self._readiness = readiness
        self._tls = checked.config.tls
        self._issued = Issued()
        self._in_force = checked.material
        if checked.material is not None:
            self._show_expiry(None, checked.material)

    @property
    def waits(self) -> bool:
        """Whether a message was refused that may be good later."""
        return bool(self._issued.problems)

    def put_in_force(self, checked: Checked, now: datetime) -> bool:
        """Serve with what the files, or the last message, say; True if that is new.

        Raises:
            ConfigError: They will not do. Then nothing has changed.
        """
        material = self._issued.material(checked, now)
        if not self._issued.problems:
            self._readiness.unwarn("identity")
        if material is None or not self._is_new(checked, material):
            return False
        self._check_succession(material)
        return self._publish(checked, material)

    def receive(self, message: bytes, checked: Checked, now: datetime) -> bool:
        """Do the same with a message that a Workload API has sent.

        One that will not do is logged, counted, and shown by the readiness probe.
        """
        before = copy(self._issued)
        self._issued.receive(message)
        try:
            new = self.put_in_force(checked, now)
        except ConfigError as error:
            self._issued = before
            self._refuse(error.problems)
            return False
        if self._issued.problems:
            self._refuse(self._issued.problems)
        return new

    def withdraw(self, why: str) -> None:
        """Serve no more with what a Workload API has sent: it is not ours any more."""
        self._issued = Issued()
        self._mesh.credentials.withdraw(why)
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

    def _refuse(self, problems: Sequence[Problem]) -> None:
        for each in problems:
            _LOG.error("not taken, what was issued before serves on: %s", each)
        self._mesh.metrics.reloaded("identity", ok=False)
        first = str(problems[0])
        if self._mesh.identified.is_set():
            self._readiness.warn("identity", first)
        else:
            self._readiness.failed("identity", first)

    def _is_new(self, checked: Checked, material: Material) -> bool:
        withdrawn = self._mesh.credentials.withdrawn is not None
        return (
            withdrawn or checked.config.tls != self._tls or material != self._in_force
        )

    def _check_succession(self, material: Material) -> None:
        if self._in_force is None:
            return
        problems = problems_under("identity", steps_back(self._in_force, material))
        if problems:
            raise ConfigError(str(self._path), problems)

    def _publish(self, checked: Checked, material: Material) -> bool:
        mesh = self._mesh
        first = not mesh.identified.is_set()
        withdrawn = mesh.credentials.withdrawn is not None
        generation = mesh.credentials.generation + (not first)
        mesh.credentials = build_credentials(self._path, checked, generation, material)
        self._show_expiry(self._in_force, material)
        self._in_force, self._tls = material, checked.config.tls
        if withdrawn:
            self._readiness.done("identity")
        if first:
            mesh.identified.set()
            _LOG.info("issued", extra={"svid": str(material.svid.name)})
        return not first

    def _show_expiry(self, before: Material | None, material: Material) -> None:
        metrics = self._mesh.metrics
        ours = material.svid
        metrics.svid_loaded(ours.not_valid_before, ours.not_valid_after)
        if before is not None:
            for name in before.bundles.keys() - material.bundles.keys():
                metrics.bundle_removed(name)
            for name in before.additional.keys() - material.additional.keys():
                metrics.additional_svid_removed(name)
        for name, svid in material.additional.items():
            metrics.additional_svid_loaded(name, svid.not_valid_after)
        for name, bundle in material.bundles.items():
            ends = bundle.expires()
            if ends is None:
                metrics.bundle_removed(name)
            else:
                metrics.bundle_loaded(name, ends)
