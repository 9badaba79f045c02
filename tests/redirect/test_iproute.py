from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from sidecar.redirect.backend import RedirectError
from sidecar.redirect.iproute import IpProgram, find_routes, turns
from sidecar.redirect.model import Family
from sidecar.redirect.routing import Routing
from tests.redirect.kernel import MemoryRoutes

if TYPE_CHECKING:
    from pathlib import Path

ALL = Routing(rule=True, route=True)
NONE = Routing()


def install(folder: Path, body: str) -> None:
    """Write an `ip` that does what *body* says, in Python."""
    program = folder / "ip"
    program.write_text(f"#!{sys.executable} -IS\nimport sys\n{body}\n")
    program.chmod(0o755)


def test_both_families_are_reached_by_one_program(tmp_path: Path) -> None:
    assert find_routes(str(tmp_path)) == ()
    install(tmp_path, "")
    assert [each.family for each in find_routes(str(tmp_path))] == list(Family)


def test_what_it_shows_is_read(tmp_path: Path) -> None:
    install(
        tmp_path,
        """
words = " ".join(sys.argv[1:])
print({
    "-4 rule show": "15006:\tfrom all fwmark 0x539/0xfff lookup 133",
    "-4 route show table all": "local default dev lo table 133 scope host",
}.get(words, ""))
""",
    )
    assert [each.read() for each in find_routes(str(tmp_path))] == [ALL, NONE]
    rules, routes = find_routes(str(tmp_path))[0].show()
    assert rules.startswith("15006:")
    assert routes.startswith("local default")


def test_a_command_is_words_and_no_shell_sees_them(tmp_path: Path) -> None:
    install(tmp_path, f"open({str(tmp_path / 'log')!r}, 'w').write(repr(sys.argv[1:]))")
    find_routes(str(tmp_path))[1].run("rule add $(x) ; *")
    said = (tmp_path / "log").read_text()
    assert said == "['-6', 'rule', 'add', '$(x)', ';', '*']"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "sys.exit('RTNETLINK answers: Operation not permitted')",
            "ip -4 rule show: RTNETLINK answers: Operation not permitted",
        ),
        ("sys.exit(7)", "ip -4 rule show: exit status 7"),
    ],
)
def test_what_fails_is_said(tmp_path: Path, body: str, said: str) -> None:
    install(tmp_path, body)
    with pytest.raises(RedirectError) as failed:
        find_routes(str(tmp_path))[0].read()
    assert str(failed.value) == said


def test_a_program_that_cannot_be_run_is_said(tmp_path: Path) -> None:
    gone = IpProgram(Family.IPV4, tmp_path / "ip", "")
    with pytest.raises(RedirectError, match=r"cannot be run: .*; install iproute2"):
        gone.read()


def test_nothing_is_turned_that_is_right() -> None:
    routes = [MemoryRoutes(each) for each in Family]
    assert turns(routes, NONE) == []
    for turn in turns(routes, ALL):
        turn.make()
    assert turns(routes, ALL) == []
    assert [str(each) for each in turns(routes, NONE)] == [
        "ipv4: the routing of answers removed",
        "ipv6: the routing of answers removed",
    ]


def test_what_is_half_there_is_completed() -> None:
    routes = MemoryRoutes(Family.IPV4, ["route local default dev lo table 133"])
    (turn,) = turns([routes], ALL)
    turn.make()
    assert routes.read() == ALL
    assert turn.undo() == []
    assert routes.read() == Routing(rule=False, route=True)


def test_without_the_program_there_is_nothing_to_take_away_and_no_way_to_add() -> None:
    assert turns([], NONE) == []
    with pytest.raises(RedirectError, match="install iproute2"):
        turns([], ALL)


def test_a_family_that_cannot_be_read_has_nothing_of_ours() -> None:
    assert turns([MemoryRoutes(Family.IPV6, unreadable=True)], NONE) == []


def test_a_second_command_that_fails_takes_the_first_one_back() -> None:
    routes = MemoryRoutes(Family.IPV4, refuses=("rule add",))
    (turn,) = turns([routes], ALL)
    with pytest.raises(RedirectError) as failed:
        turn.make()
    assert str(failed.value).startswith("ip: no rule add priority 15006")
    assert routes.lines == []


def test_what_cannot_be_taken_back_is_said() -> None:
    routes = MemoryRoutes(Family.IPV4, refuses=("rule add", "route del"))
    (turn,) = turns([routes], ALL)
    with pytest.raises(RedirectError, match="the routing stays changed: ip: no route"):
        turn.make()


@pytest.mark.parametrize(
    ("family", "said", "remedy"),
    [
        (1, "Error: IPv6 is disabled on nexthop device.", "net.ipv6.conf.lo.disable"),
        (0, "Error: Nexthop device is not up.", ": bring lo up"),
    ],
)
def test_where_lo_is_the_trouble_it_says_what_to_do(
    tmp_path: Path, family: int, said: str, remedy: str
) -> None:
    install(tmp_path, f"sys.exit({said!r})")
    with pytest.raises(RedirectError) as failed:
        find_routes(str(tmp_path))[family].run("route add local default dev lo")
    assert said.rstrip(".") + ": bring lo up" in str(failed.value)
    assert remedy in str(failed.value)
