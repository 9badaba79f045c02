from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given, strategies as st

from sidecar.redirect.doctor.processes import Process, impostors, parse_process
from tests.redirect.doctor.pods import PROCESSES

STATUS = """\
Name:	java
Umask:	0022
State:	S (sleeping)
Pid:	12
PPid:	1
Uid:	1000	1001	1002	1337
Gid:	2000	2001	2002	2003
Groups:	1 2
"""


def test_what_counts_is_the_user_that_opens_files() -> None:
    process = parse_process(12, STATUS, "java\0-jar\0x.jar\0", "0::/app\n")
    assert process == Process(
        12, 1, "java", 1337, 2003, ("java", "-jar", "x.jar"), "0::/app\n"
    )
    assert str(process) == "java (process 12)"


@pytest.mark.parametrize(
    "status",
    [
        "",
        STATUS.replace("Uid", "uid"),
        STATUS.replace("1000", "x"),
        STATUS.replace("\t2003", ""),
    ],
)
def test_a_process_that_has_gone_is_none(status: str) -> None:
    assert parse_process(12, status, "", "") is None


def test_a_process_without_a_name_or_a_parent_is_one() -> None:
    text = "\n".join(line for line in STATUS.splitlines() if line[:2] in "Uid Gid")
    process = parse_process(12, text, "", "")
    assert process is not None
    assert (process.name, process.parent) == ("?", 0)


@given(st.text(), st.text(), st.text())
def test_any_text_is_read(status: str, command: str, cgroup: str) -> None:
    parse_process(1, status, command, cgroup)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("python", "-m", "sidecar", "run", "--config", "x"), True),
        (("/usr/bin/python3", "/usr/local/bin/sidecar", "run"), True),
        (("python", "/app/sidecar/__main__.py", "run"), True),
        (("sidecar", "redirect", "check"), False),
        (("sidecar",), False),
        (("nginx", "run"), False),
        ((), False),
    ],
)
def test_the_sidecar_is_known_by_its_command(
    words: tuple[str, ...], expected: bool
) -> None:
    process = Process(1, 0, "x", 1337, 1337, words)
    assert process.is_sidecar is expected


def found(*more: Process, own_pid: int = 20) -> list[int]:
    everybody = (*PROCESSES, *more)
    return [each.pid for each in impostors(everybody, 1337, 1337, own_pid)]


def test_the_sidecar_is_no_impostor() -> None:
    assert found() == []


def test_another_container_with_the_same_user_or_group_is() -> None:
    user = Process(30, 0, "java", 1337, 1000, (), "/other")
    assert found(user, evolve(user, pid=31, uid=1000, gid=1337)) == [30, 31]


def test_what_runs_in_the_container_of_the_sidecar_belongs_to_it() -> None:
    assert found(Process(30, 0, "sh", 1337, 1337, (), "/sidecar")) == []


def test_this_process_and_its_parents_are_left_out() -> None:
    shell = Process(30, 0, "sh", 1337, 1337, (), "/other")
    own = Process(31, 30, "sidecar", 1337, 1337, (), "/other")
    assert found(shell, own, own_pid=31) == []
    assert found(shell, own, own_pid=30) == [31]


def test_processes_that_are_one_anothers_parents_are_no_trouble() -> None:
    one = Process(30, 31, "a", 1, 1)
    assert found(one, evolve(one, pid=31, parent=30), own_pid=30) == []
