"""The matrix as Markdown."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from certs.matrix.endpoint import Asked
    from certs.matrix.proxies import Proxy

_HEAD: Final = """\
# What proxies accept, clause by clause

Made by `scripts/conformance-matrix`, which starts each of these as an endpoint of mutual
TLS, lets it trust the bundles of `sidecar certs conformance`, and asks it everything.
Ask your own: [README.md](README.md#what-every-certificate-should-meet).

The standard is SPIFFE's: X509-SVID, SPIFFE-ID, and the parts of RFC 5280 and RFC 8446 that
they build on. nginx, HAProxy, stunnel and openssl do not claim to know it; they are here
to show what a check of the chain alone lets in. Where one store of roots holds two trust
domains, each authority can sign names of the other (X509-SVID 5.2).

Envoy is told to admit every URI that begins with one of the trust domains, as the question
is about certificates: a list of exact names admits fewer of the malformed ones, though not
those that have a good name beside a bad one. The two cases that need a revocation list are
not asked here.
"""
_MIDDLE: Final = """
## Every certificate

`-`: as the standard says, in the column *must be*. Anything else is what was done instead;
"unclear" is neither an answer nor a refusal in ten seconds.
"""
_MARKS: Final = {"accepted": "**accepted**", "refused": "refused", "unclear": "unclear"}


def document(asked: Sequence[Asked], missing: Sequence[Proxy]) -> str:
    """Write the whole page."""
    lines = [
        _HEAD,
        *_summary(asked),
        *_missing(missing),
        *_commands(asked),
        _MIDDLE,
        *_cases(asked),
    ]
    return "".join(f"{line}\n" for line in lines)


def _row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _summary(asked: Sequence[Asked]) -> Iterator[str]:
    yield _row(
        [
            "",
            "version",
            "as the standard says",
            "bad accepted",
            "good refused",
            "unclear",
            "how it refuses",
        ]
    )
    yield "|---|---|---|---|---|---|---|"
    for each in asked:
        counts = each.found["summary"]
        yield _row(
            [
                each.proxy.name,
                each.version,
                f"{counts['as_the_standard_says']} of {counts['cases']}",
                counts["bad_accepted"],
                counts["good_refused"],
                counts["unclear"],
                _ends(each.found["cases"]),
            ]
        )


def _ends(cases: Sequence[dict[str, Any]]) -> str:
    ends = Counter(case["end"] for case in cases if case["got"] == "refused")
    return ", ".join(f"{end} {count}" for end, count in ends.most_common())


def _missing(missing: Sequence[Proxy]) -> Iterator[str]:
    if missing:
        names = ", ".join(each.name for each in missing)
        yield f"\nNot installed where this was made: {names}."


def _commands(asked: Sequence[Asked]) -> Iterator[str]:
    yield "\n## How each was set up\n"
    for each in asked:
        yield f"- {each.proxy.name}: {each.proxy.how}.  \n  `{each.command}`"
    yield (
        "\nThe files that these commands name are written by "
        "[matrix/proxies.py](matrix/proxies.py)."
    )


def _cases(asked: Sequence[Asked]) -> Iterator[str]:
    names = [each.proxy.name for each in asked]
    yield _row(["clause", "shown", "must be", *names])
    yield "|---" * (3 + len(asked)) + "|"
    for row in zip(*(each.found["cases"] for each in asked), strict=True):
        first = row[0]
        shown = first["shown"].replace("|", r"\|")
        yield _row(
            [first["clause"], shown, first["expected"], *(_mark(each) for each in row)]
        )


def _mark(case: dict[str, Any]) -> str:
    return "-" if case["as_the_standard_says"] else _MARKS[case["got"]]
