"""What a Workload API has sent us: the last that was good, and the last of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.config.place import Invalid, problems_under
from sidecar.config.problems import ConfigError, Problem
from sidecar.workload.material import material_of, remarks
from sidecar.workload.protobuf import MessageError
from sidecar.workload.response import X509SvidResponse

if TYPE_CHECKING:
    from datetime import datetime

    from sidecar.config.check import Checked
    from sidecar.config.material import Material
    from sidecar.config.model import Identity
    from sidecar.identity.svid import Svid


class Issued:
    """Keeps messages, and says what they come to under a configuration.

    Attributes:
        problems: What is wrong with the last message, if anything is.
        remarks: What is not as it was meant in the last good one, and does no harm.
    """

    def __init__(self) -> None:
        self.problems: tuple[Problem, ...] = ()
        self.remarks: tuple[Problem, ...] = ()
        self._good: X509SvidResponse | None = None
        self._newest: bytes | None = None
        self._known: tuple[Identity, Material] | None = None

    def receive(self, message: bytes) -> None:
        """Take a message; `material` judges it."""
        self._newest = message

    def forget(self) -> None:
        """Serve with none of the messages any more; the next one begins anew."""
        self.problems = self.remarks = ()
        self._good = self._newest = None

    def material(self, checked: Checked, now: datetime) -> Material | None:
        """Say what to serve with: from the files, or the last good message.

        None where there was no good one yet. What was refused is looked at again each
        time: it may only have come too early, or a new configuration may like it.

        Raises:
            ConfigError: The last good message will not do for *checked* any more.
        """
        if checked.material is not None:
            self.problems = self.remarks = ()
            self._known = None
            return checked.material
        if self._newest is not None:
            try:
                return self._take(self._newest, checked, now)
            except MessageError as error:
                where = "identity.workload_api"
                self.problems = (Problem(where, f"not an answer: {error}"),)
            except Invalid as error:
                self.problems = problems_under("identity", error.findings)
        if self._good is None:
            return None
        try:
            return self._read(self._good, checked, None)
        except Invalid as error:
            raise ConfigError(
                "identity", problems_under("identity", error.findings)
            ) from None

    def _take(self, message: bytes, checked: Checked, now: datetime) -> Material:
        response = X509SvidResponse.parse(message)
        material = self._read(response, checked, now)
        self._good, self._newest, self.problems = response, None, ()
        return material

    def _read(
        self, response: X509SvidResponse, checked: Checked, now: datetime | None
    ) -> Material:
        identity = checked.config.identity
        former = {} if self._known is None else _former(identity, *self._known)
        material = material_of(response, identity, checked.files, now, former)
        self._known = identity, material
        self.remarks = problems_under("identity", remarks(response, identity))
        return material


def _former(
    identity: Identity, before: Identity, material: Material
) -> dict[str | None, Svid]:
    """Say whom the hints that are still the same have meant so far."""
    former: dict[str | None, Svid] = {
        name: svid
        for name, svid in material.additional.items()
        if identity.additional.get(name) == before.additional[name]
    }
    if identity.hint == before.hint:
        former[None] = material.svid
    return former
