from __future__ import annotations

import json
from textwrap import dedent
from typing import TYPE_CHECKING

from sidecar.policytools.matrix import Size, matrix_of
from sidecar.policytools.matrix_text import matrix_lines, matrix_value
from tests.policytools.books import FRONTEND, of_files, of_text

if TYPE_CHECKING:
    from pathlib import Path


def test_a_matrix_is_a_table_with_a_legend_of_what_is_in_it(tmp_path: Path) -> None:
    expected = """\
                                                  8080    9090        9091      other
                                                  strict  permissive  disabled  strict
        spiffe://example.org/ns/shop/sa/frontend  allow   deny        deny*     deny
        spiffe://example.org/ns/monitoring/sa/*   deny    deny*       deny*     deny
        spiffe://example.org/ns/shop/sa/cart      deny~   deny~       deny*     deny~
        spiffe://example.org/ns/batch/**          deny    deny        deny*     deny
        others of example.org                     deny    deny        deny*     deny
        unauthenticated                           deny    deny*       deny*     deny
        * a rule asks for the source, and is shown from elsewhere (name --source)
        ~ otherwise with the dry runs in force
        permissive: by certificate; in plaintext everybody is unauthenticated"""
    drawn = "\n".join(matrix_lines(matrix_of(of_files(tmp_path))))
    assert drawn == dedent(expected)


def test_a_policy_alone_has_neither_modes_nor_a_legend_that_it_does_not_need() -> None:
    drawn = [*matrix_lines(matrix_of(of_text("default: audit")))]
    assert drawn == ["                 other", "unauthenticated  audit"]


def test_what_is_left_out_is_counted() -> None:
    lines = [*matrix_lines(matrix_of(of_text(), size=Size(5, 1)))]
    assert lines[-2:] == ["left out: 1 peer", "left out: 2 ports"]


def test_programs_are_told_the_same(tmp_path: Path) -> None:
    book = of_files(tmp_path)
    found = matrix_value(book, matrix_of(book))
    assert json.loads(json.dumps(found)) == found
    rows = found.pop("peers")
    assert found == {
        "decided_by": "sidecar.yaml",
        "ports": [8080, 9090, 9091, None],
        "modes": ["strict", "permissive", "disabled", "strict"],
        "peers_left_out": 0,
        "ports_left_out": 0,
    }
    assert rows[0]["peer"] == FRONTEND
    assert rows[0]["cells"][0] == {
        "verdict": "allow",
        "rule": "frontend-calls-api",
        "by_source": False,
        "by_dry_run": False,
    }
