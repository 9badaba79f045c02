"""What `sidecar certs conformance` prints: clause by clause, for people and programs."""

from __future__ import annotations

import json
from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sidecar.certs.cases.case import Case
    from sidecar.certs.observation import Judged

_WORDS = {True: "accepted", False: "refused", None: "unclear"}


def by_clause(cases: Iterable[Case]) -> list[Case]:
    """Sort *cases* by their clauses, numbers as numbers; otherwise as they were."""
    return sorted(cases, key=lambda case: _order(case.clause))


def listing(cases: Iterable[Case]) -> str:
    """Say what each case is, and what an endpoint has to do with it."""
    return "".join(
        f"{case.clause:<18} {case.name:<34} {_WORDS[case.accepted]:<9} "
        f"{case.sentence}{'; needs --crl' if case.with_crl else ''}\n"
        for case in by_clause(cases)
    )


def listing_json(cases: Iterable[Case]) -> str:
    """Do the same for a program."""
    values = [{**_case(case), "crl": case.with_crl} for case in by_clause(cases)]
    return f"{json.dumps(values, indent=2)}\n"


def text(where: str, results: Sequence[Judged]) -> str:
    """Say what *where* did, clause by clause, and how much of it was right."""
    ordered = sorted(results, key=lambda each: _order(each.case.clause))
    versions = sorted({each.seen.tls for each in results if each.seen.tls})
    lines = [f"{where}, {', '.join(versions)}" if versions else where]
    for clause, group in groupby(ordered, lambda each: each.case.clause):
        lines.append(clause)
        lines += [_line(each) for each in group]
    return "".join(f"{line}\n" for line in [*lines, summary(results)])


def summary(results: Sequence[Judged]) -> str:
    """Say in one line how many cases went as the standard says."""
    counts = Counter(_kind(each) for each in results)
    wrong = ", ".join(
        f"{counts[kind]} {kind}"
        for kind in ("bad accepted", "good refused", "unclear")
        if counts[kind]
    )
    good = f"{counts['right']} of {len(results)} cases as the standard says"
    return f"{good}; {wrong}" if wrong else good


def as_json(where: str, results: Sequence[Judged]) -> str:
    """Do the same as `text` for a program."""
    counts = Counter(_kind(each) for each in results)
    value = {
        "target": where,
        "cases": [
            {
                **_case(each.case),
                "got": _WORDS[each.accepted],
                "end": each.seen.end.value,
                "detail": each.seen.detail,
                "tls": each.seen.tls,
                "as_the_standard_says": each.as_the_standard_says,
            }
            for each in sorted(results, key=lambda each: _order(each.case.clause))
        ],
        "summary": {
            "cases": len(results),
            "as_the_standard_says": counts["right"],
            "bad_accepted": counts["bad accepted"],
            "good_refused": counts["good refused"],
            "unclear": counts["unclear"],
        },
    }
    return f"{json.dumps(value, indent=2)}\n"


def _case(case: Case) -> dict[str, Any]:
    return {
        "clause": case.clause,
        "name": case.name,
        "shown": case.sentence,
        "expected": _WORDS[case.accepted],
    }


def _line(each: Judged) -> str:
    mark = "ok   " if each.as_the_standard_says else "WRONG"
    got = f"{_WORDS[each.accepted]} ({each.seen})"
    must = (
        "" if each.as_the_standard_says else f"must be {_WORDS[each.case.accepted]}: "
    )
    return f"  {mark} {each.case.name:<34} {got:<40} {must}{each.case.sentence}"


def _kind(each: Judged) -> str:
    if each.as_the_standard_says:
        return "right"
    if each.accepted is None:
        return "unclear"
    return "bad accepted" if each.accepted else "good refused"


def _order(clause: str) -> tuple[str, tuple[int, ...]]:
    document, _, section = clause.rpartition(" ")
    return document, tuple(int(part) for part in section.split("."))
