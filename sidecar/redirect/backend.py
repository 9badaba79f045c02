"""The iptables programs: finding them, and running them without any shell."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final, Protocol

from attrs import frozen

from sidecar.redirect.model import Backend, Family

_PROGRAM: Final = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}
_SPARE_SECONDS: Final = 20
"""How long a program may take beyond its wait for the lock."""

_ABSENT: Final = re.compile(
    r"table .* does not exist|does not exist \(do you need to insmod|iptables who"
    r"|can't initialize .* table|unable to initialize table|Address family not supported|Protocol not supported"
    r"|Failed to initialize nft",
    re.IGNORECASE,
)
_REMEDIES: Final = (
    (
        re.compile(
            r"Permission denied|Operation not permitted|must be root", re.IGNORECASE
        ),
        "run it as root with the capabilities NET_ADMIN and NET_RAW",
    ),
    (
        re.compile(r"holding the xtables lock", re.IGNORECASE),
        "wait longer: --lock-seconds",
    ),
    (re.compile(r"Read-only file system", re.IGNORECASE), "mount an emptyDir on /run"),
    (
        re.compile(r"\bTPROXY\b|SIDECAR_TPROXY|SIDECAR_MARKS"),
        "load xt_TPROXY, xt_connmark and xt_conntrack on the node, or leave tproxy",
    ),
    (
        re.compile(r"Couldn't load (?:match|target)"),
        "its extensions are missing: install all of iptables",
    ),
    (
        # In legacy it is the line of COMMIT, and no word of what the kernel lacks.
        re.compile(r"missing kernel module|RULE_\w+ failed|\bline \d+ failed"),
        "the kernel refused a rule: load nf_nat, xt_REDIRECT, xt_owner, xt_addrtype,"
        " xt_multiport and xt_comment on the node",
    ),
)
_NET_ADMIN: Final = 1 << 12  # linux/capability.h


class RedirectError(Exception):
    """The rules cannot be read or changed; one sentence, with the remedy."""


class NoTables(RedirectError):
    """This kernel has no such tables for this family."""


class Tables(Protocol):
    """The tables of one family, as one set of programs reaches them."""

    @property
    def backend(self) -> Backend: ...  # noqa: D102 - see Programs

    @property
    def family(self) -> Family: ...  # noqa: D102

    def read(self) -> str: ...  # noqa: D102

    def write(self, text: str) -> None: ...  # noqa: D102


@frozen
class Programs:
    """iptables-save and iptables-restore of one family and one backend."""

    backend: Backend
    family: Family
    save: Path
    restore: Path
    path: str
    lock_seconds: int
    spare_seconds: float = _SPARE_SECONDS

    def read(self) -> str:
        """Give what iptables-save writes: every table that is in use.

        Raises:
            RedirectError: It failed.
        """
        return self._run([self.save], "")

    def write(self, text: str) -> None:
        """Have iptables-restore do what *text* says: all of it or nothing.

        Raises:
            RedirectError: It failed; the tables are as they were.
        """
        self._run([self.restore, "--noflush", f"--wait={self.lock_seconds}"], text)

    def _run(self, command: list[str | Path], text: str) -> str:
        name = Path(command[0]).name
        seconds = self.lock_seconds + self.spare_seconds
        try:
            ended = subprocess.run(  # noqa: S603 - a list of words, and no shell
                command,
                input=text,
                capture_output=True,
                encoding="utf-8",
                errors="surrogateescape",
                env={"PATH": self.path, "LC_ALL": "C"},
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RedirectError(f"{name}: not done in {seconds:.3g} seconds") from None
        except OSError as error:
            raise RedirectError(
                f"{name}: cannot be run: {error.strerror}; install iptables"
            ) from None
        if ended.returncode:
            raise _failure(name, ended.returncode, ended.stderr)
        return ended.stdout


def find_tables(
    path: str, lock_seconds: int, spare_seconds: float = _SPARE_SECONDS
) -> list[tuple[Tables, Tables]]:
    """Find the programs of each backend on *path*, those of IPv4 first.

    Raises:
        RedirectError: There are none for both families.
    """
    found: list[tuple[Tables, Tables]] = []
    for backend in Backend:
        if backend is Backend.PLAIN and found:
            break
        ipv4, ipv6 = (
            _programs(backend, family, path, lock_seconds, spare_seconds)
            for family in Family
        )
        if ipv4 is not None and ipv6 is not None:
            found.append((ipv4, ipv6))
    if not found:
        raise RedirectError(
            "iptables-restore and ip6tables-restore are not on the PATH"
            f" {path!r}: install iptables"
        )
    return found


def _programs(
    backend: Backend,
    family: Family,
    path: str,
    lock_seconds: int,
    spare_seconds: float,
) -> Programs | None:
    suffix = "" if backend is Backend.PLAIN else f"-{backend}"
    name = _PROGRAM[family] + suffix
    save = shutil.which(f"{name}-save", path=path)
    restore = shutil.which(f"{name}-restore", path=path)
    if save is None or restore is None:
        return None
    return Programs(
        backend, family, Path(save), Path(restore), path, lock_seconds, spare_seconds
    )


def check_permission(process_status: str) -> None:
    """Read ``/proc/self/status`` and see that we may change the network.

    Raises:
        RedirectError: We may not.
    """
    if not process_status:
        raise RedirectError(
            "/proc/self/status cannot be read, and so not what is permitted: mount /proc"
        )
    effective = re.search(r"^CapEff:\s*([0-9a-f]+)$", process_status, re.MULTILINE)
    if effective is None or not int(effective[1], 16) & _NET_ADMIN:
        raise RedirectError(
            "no permission to change iptables rules: run it as root with the"
            " capabilities NET_ADMIN and NET_RAW, as an init container does"
        )


def check_mapped(option: str, number: int, id_map: str) -> None:
    """Read ``/proc/self/uid_map`` or ``gid_map``, and see that *number* is there.

    The kernel takes no rule for a user or group that is not (user_namespaces(7)), and
    says no more than "Invalid argument". An empty map, which is none, says nothing.

    Raises:
        RedirectError: It is not.
    """
    lines = [line.split() for line in id_map.splitlines()]
    ranges = [(int(first), int(count)) for first, _, count in lines]
    if ranges and not any(first <= number < first + count for first, count in ranges):
        raise RedirectError(
            f"{option}: {number} is not mapped in this user namespace"
            f" (/proc/self/{'g' if 'gid' in option else 'u'}id_map): map it, or name"
            " one that is"
        )


def ipv6_addresses(if_inet6: str) -> tuple[str, ...]:
    """Read ``/proc/net/if_inet6``: the interfaces that have an IPv6 address.

    Loopback does not count: nothing gets out of the pod by it.
    """
    lines = (line.split() for line in if_inet6.splitlines())
    names = {words[5] for words in lines if len(words) == 6}
    return tuple(sorted(names - {"lo"}))


def _failure(name: str, status: int, stderr: str) -> RedirectError:
    lines = (line.strip() for line in stderr.splitlines())
    said = "; ".join(line for line in lines if line and not line.startswith("Try `"))
    said = said[:500] or f"exit status {status}"
    for pattern, remedy in _REMEDIES:
        if pattern.search(said):
            return RedirectError(f"{name}: {said}: {remedy}")
    kind = NoTables if _ABSENT.search(said) else RedirectError
    return kind(f"{name}: {said}")
