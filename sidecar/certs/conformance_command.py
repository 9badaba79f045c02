"""`sidecar certs conformance`: what an endpoint accepts, clause by clause."""

from __future__ import annotations

import datetime as dt
import sys
from typing import TYPE_CHECKING, Final

import trio
from attrs import frozen

from sidecar.certs import conformance_report as report
from sidecar.certs.conformance import CASES
from sidecar.certs.conformance_folder import Bundles, ConformanceFolder
from sidecar.certs.files import FileExists
from sidecar.certs.folder import FolderError
from sidecar.certs.observation import BAD, GOOD, Controls, Judged, hopeless
from sidecar.certs.probe import Target, probe
from sidecar.config.address import AddressError, parse_destination
from sidecar.identity.spiffe_id import SpiffeIdError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from sidecar.certs.cases.case import Case
    from sidecar.certs.cases.world import World

_BY_NAME: Final = {case.name: case for case in CASES}


class _BadInput(Exception):
    """The arguments, or the files that they name, will not do; the message says why."""


class _Failed(Exception):
    """The endpoint cannot be asked; the message says why."""


def main(arguments: argparse.Namespace) -> int:
    """Do what *arguments* ask for; give the exit status."""
    try:
        cases = _chosen(arguments)
        if arguments.list:
            printed = report.listing_json if arguments.json else report.listing
            sys.stdout.write(printed(cases))
            return 0
        return _prepare_and_ask(arguments, cases)
    except _BadInput as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except _Failed as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _prepare_and_ask(arguments: argparse.Namespace, cases: Sequence[Case]) -> int:
    # Before anything is made: a mistake in it would leave a folder behind.
    where = _destination(arguments)
    folder = ConformanceFolder(arguments.state)
    fresh = not folder.exists
    world, bundles = _authorities(arguments, folder)
    if where is None:
        sys.stdout.write(_instructions(arguments, world, bundles))
        return 0
    if fresh:
        sys.stderr.write(_instructions(arguments, world, bundles))
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise _BadInput(
                f"--target: nothing was shown to {arguments.target} yet: install "
                "the bundles there, then run the same command again"
            )
        sys.stderr.write("press Enter when the endpoint trusts them ")
        sys.stderr.flush()
        if not sys.stdin.readline():
            raise _Failed("nobody pressed Enter")
    results = _asked(arguments, where, world, cases)
    printed = report.as_json if arguments.json else report.text
    sys.stdout.write(printed(arguments.target, results))
    return 0 if all(each.as_the_standard_says for each in results) else 1


def _chosen(arguments: argparse.Namespace) -> list[Case]:
    unknown = [name for name in arguments.only if name not in _BY_NAME]
    if unknown:
        raise _BadInput(
            f"--only: must name a case; --list prints them, got {', '.join(unknown)}"
        )
    if arguments.only:
        named = [_BY_NAME[name] for name in dict.fromkeys(arguments.only)]
        other = [case.name for case in named if case.with_crl != arguments.crl]
        if other and not arguments.list:
            rule = "does not need" if arguments.crl else "needs"
            raise _BadInput(f"--only: {', '.join(other)} {rule} --crl")
        return named
    if arguments.list:
        return list(CASES)
    return [case for case in CASES if case.with_crl == arguments.crl]


@frozen
class _Where:
    host: str
    port: int


def _destination(arguments: argparse.Namespace) -> _Where | None:
    if arguments.target is None:
        return None
    try:
        endpoint = parse_destination(arguments.target)
        (arguments.server_name or "").encode("idna")
    except AddressError as error:
        raise _BadInput(f"--target: {error}") from error
    except UnicodeError as error:
        raise _BadInput(f"--server-name: must be a host name: {error}") from error
    return _Where(endpoint.host, endpoint.port)


def _authorities(
    arguments: argparse.Namespace, folder: ConformanceFolder
) -> tuple[World, Bundles]:
    now = dt.datetime.now(dt.UTC)
    wanted = arguments.trust_domain
    try:
        if folder.exists:
            world = folder.load(now=now)
            if wanted not in {None, world.trust_domain}:
                raise _BadInput(
                    f"--trust-domain: {folder.path} has authorities of "
                    f"{world.trust_domain!r}, got {wanted!r}; name another --state"
                )
        else:
            world = folder.create(wanted or "example.org", now=now)
        return world, folder.write_bundles(world, arguments.bundles)
    except SpiffeIdError as error:
        raise _BadInput(f"--trust-domain: {error}") from error
    except (FolderError, FileExists) as error:
        raise _BadInput(str(error)) from error
    except (FileExistsError, NotADirectoryError) as error:
        raise _BadInput(f"{error.filename}: must be a folder, got a file") from error
    except OSError as error:
        raise _Failed(f"{error.filename}: {error.strerror}".lower()) from error


def _instructions(arguments: argparse.Namespace, world: World, bundles: Bundles) -> str:
    own, partner = (each.trust_domain for each in world.bundles)
    return (
        f"{bundles.own}  the trust bundle of {own}\n"
        f"{bundles.partner}  that of {partner}\n"
        f"{bundles.both}  both, for an endpoint that has one list of roots\n"
        f"{bundles.crl}  a revocation list, for a second run with --crl\n"
        "\n"
        f"{bundles.own.read_text()}"
        "\n"
        "next: let the endpoint trust both bundles, each for its own trust domain if\n"
        "it can, and admit every identity of them; a certificate of its own it gets\n"
        f"with: sidecar certs issue spiffe://{own}/endpoint --dir {arguments.state}\n"
        f"then: sidecar certs conformance --state {arguments.state} "
        f"--target {arguments.target or 'HOST:PORT'}\n"
    )


def _asked(
    arguments: argparse.Namespace, where: _Where, world: World, cases: Sequence[Case]
) -> list[Judged]:
    shown = _Progress(len(cases))
    try:
        return trio.run(_ask, arguments, where, world, cases, shown.step)  # noqa: TID251
    finally:
        shown.clear()


async def _ask(
    arguments: argparse.Namespace,
    where: _Where,
    world: World,
    cases: Sequence[Case],
    step: Callable[[], None],
) -> list[Judged]:
    target = await _target(arguments, where)
    good = await probe(target, _BY_NAME[GOOD].build(world))
    if (why := hopeless(good)) is not None:
        raise _Failed(f"{arguments.target}: {why}")
    bad = await probe(target, _BY_NAME[BAD].build(world))
    controls = Controls(good, bad)
    if controls.problem is not None:
        raise _Failed(f"{arguments.target}: {controls.problem}")
    if controls.warning is not None:
        sys.stderr.write(f"warning: {arguments.target}: {controls.warning}\n")
    found: dict[str, Judged] = {}
    limit = trio.CapacityLimiter(arguments.at_once)

    async def one(case: Case) -> None:
        async with limit:
            seen = await probe(target, case.build(world))
        found[case.name] = Judged(case, seen, controls.accepted(seen))
        step()

    async with trio.open_nursery() as nursery:
        for case in cases:
            nursery.start_soon(one, case)
    return [found[case.name] for case in cases]


async def _target(arguments: argparse.Namespace, where: _Where) -> Target:
    try:
        with trio.fail_after(arguments.timeout):
            answers = await trio.socket.getaddrinfo(
                where.host, where.port, type=trio.socket.SOCK_STREAM
            )
    except (OSError, UnicodeError, trio.TooSlowError) as error:
        raise _Failed(f"{arguments.target}: the name has no address") from error
    return Target(
        addresses=tuple(dict.fromkeys(str(answer[4][0]) for answer in answers)),
        port=where.port,
        server_name=arguments.server_name,
        timeout=arguments.timeout,
        settle=arguments.settle,
        send=arguments.send,
        expect=arguments.expect,
    )


class _Progress:
    """A counter on a terminal; nothing elsewhere."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._shown = sys.stderr.isatty()

    def step(self) -> None:
        self._done += 1
        if self._shown:
            sys.stderr.write(f"\r{self._done} of {self._total} shown")
            sys.stderr.flush()

    def clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
