"""Our identity and our trust as they are in force, and how they are followed by others."""

from __future__ import annotations

import logging
import time
from copy import copy
from math import inf
from typing import TYPE_CHECKING, Final

from attrs import evolve

from sidecar.assembly import build_credentials
from sidecar.config.place import problems_under
from sidecar.config.problems import ConfigError
from sidecar.config.succession import steps_back
from sidecar.issued import Issued

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from sidecar.admin.readiness import Readiness
    from sidecar.config.check import Checked
    from sidecar.config.material import Material
    from sidecar.config.problems import Problem
    from sidecar.proxy.mesh import Mesh

_LOG = logging.getLogger(__name__)

# An agent that has just started, or learns of entries that are being made anew, may
# refuse us without meaning it (SPIFFE Workload Endpoint 6). That of SPIRE looks every
# five seconds.
_FOR_GOOD_SECONDS: Final = 10.0


class Rotation:
    """Keeps the credentials of *mesh* at what the files or a Workload API say.

    *clock* gives seconds, from wherever.
    """

    def __init__(
        self,
        path: Path,
        checked: Checked,
        mesh: Mesh,
        readiness: Readiness,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._mesh = mesh
        self._readiness = readiness
        self._tls = checked.config.tls
        self._issued = Issued()
        self._in_force = checked.material
        self._clock = clock
        self._withdrawn = False
        self._refused_since: float | None = None
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
        before = copy(self._issued)
        try:
            material = self._issued.material(checked, now)
            if not self._issued.problems:
                self._pass_on(before.remarks)
            if material is None or not self._is_new(checked, material):
                return False
            self._check_succession(material)
            return self._publish(checked, material)
        except ConfigError:
            self._issued = before
            raise

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
        """Serve no more with what a Workload API has sent: it is not ours any more.

        What is open goes on, until this is said again after some time: then all ends
        that we have shown a certificate to.
        """
        mesh = self._mesh
        self._issued.forget()
        self._withdrawn = True
        mesh.credentials.withdraw(why)
        self._readiness.unwarn("workload_api")
        self._readiness.failed("identity", why)
        now = self._clock()
        if self._refused_since is None:
            self._refused_since = now
        elif now - self._refused_since >= _FOR_GOOD_SECONDS:
            self._refused_since = inf  # once is enough
            mesh.credentials.disown()
            mesh.put_in_force(evolve(mesh.generations))

    def lost(self, why: str) -> None:
        """Serve on with what a Workload API has sent, as long as it is valid."""
        if self._mesh.identified.is_set():
            self._readiness.warn("workload_api", why)
        else:
            self._readiness.failed("identity", why)

    def found(self) -> None:
        """The Workload API answers."""
        self._refused_since = None
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

    def _pass_on(self, before: Sequence[Problem]) -> None:
        """Warn of what is not as it was meant, and log what is new of it."""
        remarks = self._issued.remarks
        if not remarks:
            self._readiness.unwarn("identity")
            return
        self._readiness.warn("identity", *map(str, remarks))
        for each in remarks:
            if each not in before:
                _LOG.warning("%s", each)

    def _is_new(self, checked: Checked, material: Material) -> bool:
        return (
            self._withdrawn
            or checked.config.tls != self._tls
            or material != self._in_force
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
        was_there = mesh.credentials.withdrawn is None
        generation = mesh.credentials.generation + (not first)
        mesh.credentials = build_credentials(
            self._path, checked, generation, material, mesh.credentials
        )
        self._show_expiry(self._in_force, material)
        self._in_force, self._tls = material, checked.config.tls
        self._withdrawn, self._refused_since = False, None
        why = mesh.credentials.withdrawn
        if why is not None:
            self._readiness.failed("identity", why)
        elif not was_there:
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
