"""The routing of a pod, read and changed by `ip` of iproute2, without any shell."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from attrs import frozen

from sidecar.redirect.backend import RedirectError
from sidecar.redirect.model import Family
from sidecar.redirect.routing import Routing, parse_routing, steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sidecar.redirect.routing import Step

_SECONDS: Final = 20
_LOOPBACK: Final = re.compile(r"disabled on nexthop|Nexthop device is not up|is down")
_REMEDY: Final = {
    Family.IPV4: "bring lo up",
    Family.IPV6: "bring lo up, and set net.ipv6.conf.lo.disable_ipv6 to 0",
}


class Routes(Protocol):
    """The routing of one family."""

    @property
    def family(self) -> Family: ...  # noqa: D102 - see IpProgram

    def read(self) -> Routing: ...  # noqa: D102

    def show(self) -> tuple[str, str]: ...  # noqa: D102

    def run(self, command: str) -> None: ...  # noqa: D102


@frozen
class IpProgram:
    """What ``ip`` does for one family."""

    family: Family
    program: Path
    path: str

    def read(self) -> Routing:
        """Give what of the routing is ours.

        Raises:
            RedirectError: It cannot be read, as where there is no such family.
        """
        return parse_routing(*self.show())

    def show(self) -> tuple[str, str]:
        """Give all rules of the routing, and all routes.

        Raises:
            RedirectError: As for `read`.
        """
        return self._run("rule show"), self._run("route show table all")

    def run(self, command: str) -> None:
        """Run one *command*, of `steps`.

        Raises:
            RedirectError: It failed, and did nothing.
        """
        self._run(command)

    def _run(self, command: str) -> str:
        said = f"ip -{self.family.version} {command}"
        try:
            ended = subprocess.run(  # noqa: S603 - a list of words, and no shell
                [self.program, f"-{self.family.version}", *command.split()],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                env={"PATH": self.path, "LC_ALL": "C"},
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RedirectError(f"{said}: not done in {_SECONDS} seconds") from None
        except OSError as error:
            why = f"cannot be run: {error.strerror}; install iproute2"
            raise RedirectError(f"{said}: {why}") from None
        if ended.returncode:
            lines = "; ".join(ended.stderr.split("\n")).strip("; ")
            why = lines[:300] or f"exit status {ended.returncode}"
            if _LOOPBACK.search(why):
                why = f"{why.rstrip('.')}: {_REMEDY[self.family]}"
            raise RedirectError(f"{said}: {why}")
        return ended.stdout


def find_routes(path: str) -> tuple[Routes, ...]:
    """Find `ip` on *path*, for each family; without it there is none."""
    found = shutil.which("ip", path=path)
    if found is None:
        return ()
    return tuple(IpProgram(family, Path(found), path) for family in Family)


@frozen
class Turn:
    """What one family's routing is to become."""

    routes: Routes
    before: Routing
    after: Routing

    def __str__(self) -> str:
        what = "in place" if self.after else "removed"
        return f"{self.routes.family}: the routing of answers {what}"

    def make(self) -> None:
        """Do it, or nothing.

        Raises:
            RedirectError: It failed.
        """
        done: list[Step] = []
        try:
            for step in steps(self.before, self.after):
                self.routes.run(step.do)
                done.append(step)
        except RedirectError as error:
            failures = _undo(self.routes, done)
            raise RedirectError("; ".join([str(error), *failures])) from None

    def undo(self) -> list[str]:
        """Put back what was there; say what could not be."""
        return _undo(self.routes, steps(self.before, self.after))


def _undo(routes: Routes, done: Sequence[Step]) -> list[str]:
    failures = []
    for step in reversed(done):
        try:
            routes.run(step.undo)
        except RedirectError as error:
            failures.append(f"and the routing stays changed: {error}")
    return failures


def turns(routes: Sequence[Routes], after: Routing) -> list[Turn]:
    """Say what has to change for the routing of each family to be *after*.

    A family whose routing cannot be read has nothing of ours.

    Raises:
        RedirectError: There is something to add, and no `ip` to do it with.
    """
    if after and not routes:
        raise RedirectError("ip is not on the PATH: install iproute2, tproxy needs it")
    found = []
    for each in routes:
        try:
            before = each.read()
        except RedirectError:
            before = Routing()
        if before != after:
            found.append(Turn(each, before, after))
    return found
