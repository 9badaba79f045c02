"""What a Workload API has sent us: the last that was good, and the last of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.config.place import Invalid, problems_under
from sidecar.config.problems import ConfigError, Problem
from sidecar.workload.material import material_of
from sidecar.workload.protobuf import MessageError
from sidecar.workload.response import X509SvidResponse

if TYPE_CHECKING:
    from datetime import datetime

    from sidecar.config.check import Checked
    from sidecar.config.material import Material


class Issued:
    """Keeps messages, and says what they come to under a configuration.

    Attributes:
        problems: What is wrong with the last message, if anything is.
    """

    def __init__(self) -> None:
        self.problems: tuple[Problem, ...] = ()
        self._good: X509SvidResponse | None = None
        self._newest: bytes | None = None

    def receive(self, message: bytes) -> None:
        """Take a message; `material` judges it."""
        self._newest = message

    def material(self, checked: Checked, now: datetime) -> Material | None:
        """Say what to serve with: from the files, or the last good message.

        None where there was no good one yet. What was refused is looked at again each
        time: it may only have come too early, or a new configuration may like it.

        Raises:
            ConfigError: The last good message will not do for *checked* any more.
        """
        if checked.material is not None:
            self.problems = ()
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
        identity = checked.config.identity
        try:
            return material_of(self._good, identity, checked.files, None)
        except Invalid as error:
            raise ConfigError(
                "identity", problems_under("identity", error.findings)
            ) from None

    def _take(self, message: bytes, checked: Checked, now: datetime) -> Material:
        response = X509SvidResponse.parse(message)
        identity = checked.config.identity
        material = material_of(response, identity, checked.files, now)
        self._good, self._newest, self.problems = response, None, ()
        return material
