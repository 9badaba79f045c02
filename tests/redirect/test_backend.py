from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from sidecar.redirect.backend import (
    NoTables,
    Programs,
    RedirectError,
    check_mapped,
    check_permission,
    find_tables,
    ipv6_addresses,
)
from sidecar.redirect.model import Backend, Family

if TYPE_CHECKING:
    from pathlib import Path


def install(folder: Path, *names: str, body: str = "") -> None:
    """Write programs that do what *body* says, in Python."""
    for name in names:
        program = folder / name
        program.write_text(f"#!{sys.executable} -IS\nimport sys\n{body}\n")
        program.chmod(0o755)


def names(*suffixes: str) -> list[str]:
    return [
        f"{program}{suffix}-{action}"
        for program in ("iptables", "ip6tables")
        for suffix in suffixes
        for action in ("save", "restore")
    ]


def programs(folder: Path, spare_seconds: float = 20) -> Programs:
    found = find_tables(str(folder), 7, spare_seconds)[0][0]
    assert isinstance(found, Programs)
    return found


@pytest.mark.parametrize(
    ("suffixes", "found"),
    [
        (["-nft", "-legacy", ""], [Backend.NFT, Backend.LEGACY]),
        (["-legacy", ""], [Backend.LEGACY]),
        ([""], [Backend.PLAIN]),
    ],
)
def test_each_backend_is_found_and_the_plain_name_only_alone(
    tmp_path: Path, suffixes: list[str], found: list[Backend]
) -> None:
    install(tmp_path, *names(*suffixes))
    pairs = find_tables(str(tmp_path), 1)
    assert [pair[0].backend for pair in pairs] == found
    assert all([each.family for each in pair] == list(Family) for pair in pairs)


@pytest.mark.parametrize("missing", names(""))
def test_programs_of_one_family_are_not_enough(tmp_path: Path, missing: str) -> None:
    install(tmp_path, *(name for name in names("") if name != missing))
    with pytest.raises(RedirectError, match=r"not on the PATH .*: install iptables$"):
        find_tables(str(tmp_path), 1)


def test_the_text_goes_to_standard_input_and_the_wait_is_bounded(
    tmp_path: Path,
) -> None:
    body = (
        "import pathlib\n"
        "given = sys.argv[1:], sys.stdin.read()\n"
        "pathlib.Path(sys.argv[0] + '.log').write_text(repr(given))"
    )
    install(tmp_path, *names("-nft"), body=body)
    programs(tmp_path).write("$(reboot); `x`\n")
    assert (tmp_path / "iptables-nft-restore.log").read_text() == repr(
        (["--noflush", "--wait=7"], "$(reboot); `x`\n")
    )


def test_what_is_saved_is_given_as_it_is(tmp_path: Path) -> None:
    body = "sys.stdout.buffer.write(b'# \\xff\\n')"
    install(tmp_path, *names("-nft"), body=body)
    assert programs(tmp_path).read() == "# \udcff\n"


@pytest.mark.parametrize(
    ("stderr", "kind", "said"),
    [
        ("Permission denied (you must be root)", RedirectError, ": run it as root"),
        ("Another app is currently holding the xtables lock", RedirectError, "--lock"),
        ("open lock file: Read-only file system", RedirectError, "emptyDir on /run"),
        ("Couldn't load match `owner'\nError", RedirectError, "match `owner'; Error"),
        ("Couldn't load target `REDIRECT'", RedirectError, ": install all of iptables"),
        (
            "Warning: Extension owner revision 0 not supported, missing kernel module?",
            RedirectError,
            ": the kernel refused a rule: load nf_nat, xt_REDIRECT, xt_owner",
        ),
        (
            "line 2: RULE_APPEND failed (No such file or directory): rule in chain X",
            RedirectError,
            "xt_owner",
        ),
        ("iptables-restore: line 14 failed", RedirectError, "xt_owner"),
        (
            "line 2: RULE_APPEND failed (No such file): rule in chain SIDECAR_TPROXY",
            RedirectError,
            "or leave tproxy",
        ),
        (
            "unable to initialize table 'nat'\n\nError occurred at line: 1\n"
            "Try `ip6tables-restore -h' or 'ip6tables-restore --help' for more",
            NoTables,
            "unable to initialize table 'nat'; Error occurred at line: 1",
        ),
        ("", RedirectError, "exit status 3"),
        ("can't initialize ip6tables table `nat': Table does", NoTables, "initialize"),
        ("table `nat' does not exist", NoTables, "does not exist"),
        ("Failed to initialize nft: Protocol not supported", NoTables, "Protocol"),
    ],
)
def test_a_failure_is_one_sentence_with_a_remedy_if_there_is_one(
    tmp_path: Path, stderr: str, kind: type[RedirectError], said: str
) -> None:
    body = f"sys.stderr.write({stderr!r})\nsys.exit(3)"
    install(tmp_path, *names("-legacy"), body=body)
    with pytest.raises(RedirectError) as failed:
        programs(tmp_path).read()
    assert type(failed.value) is kind
    assert str(failed.value).startswith("iptables-legacy-save: ")
    assert said in str(failed.value)
    assert "\n" not in str(failed.value)


def test_a_program_that_hangs_is_given_up(tmp_path: Path) -> None:
    install(tmp_path, *names("-nft"), body="import time\ntime.sleep(60)")
    with pytest.raises(RedirectError, match="not done in"):
        programs(tmp_path, spare_seconds=-6.8).read()


def test_a_program_that_is_none_is_told(tmp_path: Path) -> None:
    install(tmp_path, *names("-nft"))
    (tmp_path / "iptables-nft-save").write_text("#!/no/such/interpreter\n")
    with pytest.raises(
        RedirectError, match="iptables-nft-save: cannot be run: No such"
    ):
        programs(tmp_path).read()


def test_permission_is_net_admin() -> None:
    check_permission("Name:\tx\nCapEff:\t0000000000003000\n")
    with pytest.raises(RedirectError, match="mount /proc"):
        check_permission("")
    for status in ("CapEff:\t00000000a80405fb\n", "CapEff:\t0000000000000000\n", "\n"):
        with pytest.raises(RedirectError, match="NET_ADMIN"):
            check_permission(status)


def test_addresses_of_the_loopback_interface_do_not_count() -> None:
    lo = "00000000000000000000000000000001 01 80 10 80       lo\n"
    eth = "fe80000000000000a8c92bfffe6f1a2b 02 40 20 80     eth0\n"
    assert ipv6_addresses("") == ipv6_addresses(lo) == ()
    assert ipv6_addresses(lo + eth + eth) == ("eth0",)


EVERYBODY = "         0          0 4294967295\n"
SOME = "         0     100000      65536\n     70000      70000          1\n"


def test_who_is_mapped_may_be_named_in_a_rule() -> None:
    for number, id_map in (
        (1337, EVERYBODY),
        (4294967294, EVERYBODY),
        (65535, SOME),
        (70000, SOME),
        (1337, ""),
    ):
        check_mapped("--proxy-uid", number, id_map)


@pytest.mark.parametrize("number", [65536, 69999, 70001])
def test_who_is_not_mapped_is_told(number: int) -> None:
    with pytest.raises(RedirectError) as failed:
        check_mapped("--proxy-gid", number, SOME)
    assert str(failed.value) == (
        f"--proxy-gid: {number} is not mapped in this user namespace"
        " (/proc/self/gid_map): map it, or name one that is"
    )
