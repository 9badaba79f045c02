"""Whether this proxy should get traffic, and if not, what it is waiting for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable


# The answer is for people to read; a policy may have a problem in every line.
_SHOWN: Final = 20


class Readiness:
    """Named conditions that must all be met, and a drain that ends it.

    Warnings are for the operator to read; they do not make the proxy unready.
    """

    def __init__(
        self, conditions: Iterable[str] = ("identity", "policy", "listeners")
    ) -> None:
        self._awaited: dict[str, str | None] = dict.fromkeys(conditions)
        self._conditions = frozenset(self._awaited)
        self._warnings: dict[str, str] = {}
        self._draining = False

    @property
    def ready(self) -> bool:
        """Whether everything is in place and nothing is being drained."""
        return not self._awaited and not self._draining

    @property
    def draining(self) -> bool:
        """Whether `drain` was called."""
        return self._draining

    @property
    def warnings(self) -> dict[str, str]:
        """What the operator should read, by subject."""
        return dict(self._warnings)

    def done(self, name: str) -> None:
        """The condition is met."""
        self._check(name)
        self._awaited.pop(name, None)

    def failed(self, name: str, why: str) -> None:
        """The condition is not met, or not any more."""
        self._check(name)
        self._awaited[name] = why

    def warn(self, about: str, *what: str) -> None:
        """Have the probe's answer mention *what*, each on a line of its own.

        It takes the place of what was said about the same before. Of very much, only
        the first is shown: it is in the log.
        """
        left = len(what) - _SHOWN
        more = [f"and {left} more, which are in the log"] if left > 0 else []
        self._warnings[about] = "\n".join([*what[:_SHOWN], *more])

    def unwarn(self, about: str) -> None:
        """The subject gives no cause for a warning any more."""
        self._warnings.pop(about, None)

    def drain(self) -> None:
        """Ask for no more traffic. There is no way back."""
        self._draining = True

    def pending(self) -> tuple[str, ...]:
        """What is awaited, each with the reason if there is one."""
        return tuple(
            name if why is None else f"{name}: {why}"
            for name, why in self._awaited.items()
        )

    def body(self) -> str:
        """What a probe is told: ``ready``, or one line for each thing that is awaited.

        Warnings follow.
        """
        draining = ("draining",) if self._draining else ()
        lines = (*draining, *self.pending()) or ("ready",)
        warnings = (
            f"warning: {about}: {line}"
            for about, what in self._warnings.items()
            for line in what.splitlines()
        )
        return "\n".join((*lines, *warnings))

    def _check(self, name: str) -> None:
        if name not in self._conditions:
            known = ", ".join(sorted(self._conditions))
            raise ValueError(f"condition: expected one of {known}, got {name!r}")
