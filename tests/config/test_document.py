from __future__ import annotations

import pytest

from sidecar.config.document import Document, Items, Section
from sidecar.config.place import Finding, Index, Place
from sidecar.config.yaml_document import parse_document

TEXT = b"""\
a: 1
b:
  c: [x, y,
    {d: 2, e: 3}]
f: 4
"""
DOCUMENT = parse_document(TEXT, "s.yaml")


@pytest.mark.parametrize(
    ("place", "located"),
    [
        (("a",), "s.yaml:1: a: bad"),
        (("b", "c"), "s.yaml:3: b.c: bad"),
        (("b", "c", Index(1)), "s.yaml:3: b.c[1]: bad"),
        (("b", "c", Index(2), "e"), "s.yaml:4: b.c[2].e: bad"),
        # What is missing is missed where it belongs.
        (("b", "z"), "s.yaml:2: b.z: bad"),
        (("b", "c", Index(9)), "s.yaml:3: b.c[9]: bad"),
        (("b", "c", Index(2), "z", "y"), "s.yaml:4: b.c[2].z.y: bad"),
        (("a", "z"), "s.yaml:1: a.z: bad"),
        (("b", "c", "z"), "s.yaml:3: b.c.z: bad"),
        (("z",), "s.yaml: z: bad"),
        ((), "s.yaml: bad"),
    ],
)
def test_a_finding_is_on_the_line_of_its_nearest_place(
    place: Place, located: str
) -> None:
    assert DOCUMENT.problem(Finding(place, "bad")).located == located


def test_problems_come_in_the_order_of_the_file() -> None:
    places: list[Place] = [
        ("f",),
        ("b", "c", Index(2), "e"),
        ("b", "c", Index(2), "d"),
        ("a",),
        ("missing",),
    ]
    findings = [*(Finding(place, "bad") for place in places), Finding((), "late", 9)]
    wheres = [problem.where for problem in DOCUMENT.problems(findings)]
    assert wheres == ["missing", "a", "b.c[2].d", "b.c[2].e", "f", ""]


def test_a_sentence_is_cut_where_nobody_reads_on() -> None:
    problem = DOCUMENT.problem(Finding(("a",), "x" * 1_000_000))
    assert problem.what == "x" * 500 + "..."


def test_a_section_knows_the_lines_of_its_keys() -> None:
    section = DOCUMENT.root
    assert section.line("f") == 5
    assert section.position("b") == 1
    assert section.position("z") is None


def test_an_empty_document_has_no_lines() -> None:
    document = Document("s.yaml", Section())
    assert document.problem(Finding(("a",), "missing")).line is None
    assert Items().lines == []
