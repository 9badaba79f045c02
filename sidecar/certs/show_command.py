"""`sidecar certs show`: every certificate of a file, or of an agent, explained."""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import TYPE_CHECKING, Any

from sidecar.certs.describe import describe
from sidecar.certs.explain import Explanation, explain
from sidecar.certs.sources import SourceError, read_certificates
from sidecar.config.wording import shown_path

if TYPE_CHECKING:
    import argparse

    from cryptography import x509


def main(arguments: argparse.Namespace) -> int:
    """Show the file that *arguments* name; give the exit status."""
    try:
        certificates = read_certificates(arguments.file)
    except SourceError as error:
        where = "standard input" if arguments.file == "-" else arguments.file
        sys.stderr.write(f"{shown_path(where or repr(''))}: {error}\n")
        return 1 if error.passing else 2
    now = dt.datetime.now(dt.UTC)
    explained = [(each, explain(each, now)) for each in certificates]
    if arguments.json:
        values = [_value(*pair) for pair in explained]
        sys.stdout.write(f"{json.dumps(values, indent=2)}\n")
    else:
        total = len(explained)
        if not total:
            sys.stdout.write("no certificate: nothing of this domain is trusted\n")
        texts = (_text(n, total, *pair) for n, pair in enumerate(explained, 1))
        sys.stdout.write("\n".join(texts))
    return 0


def _value(certificate: x509.Certificate, explanation: Explanation) -> dict[str, Any]:
    return {
        "role": explanation.role.value,
        **describe(certificate),
        "rules": [
            {
                "code": finding.code,
                "clause": finding.clause,
                "rule": finding.text,
                "kept": finding.found is None,
                "found": finding.found,
            }
            for finding in explanation.findings
        ],
        "time": explanation.time,
        "reason": explanation.reason.value,
        "verdict": explanation.verdict,
    }


def _text(
    number: int, total: int, certificate: x509.Certificate, explanation: Explanation
) -> str:
    lines = [f"certificate {number} of {total}: {explanation.role}"]
    lines += [
        f"  {key.replace('_', ' '):<11}{text}"
        for key, text in describe(certificate).items()
    ]
    lines.append(f"  time       {explanation.time}")
    for finding in explanation.findings:
        mark = "ok    " if finding.found is None else "BROKEN"
        got = "" if finding.found is None else f", got {finding.found}"
        lines.append(f"  {mark} {finding.clause:<17}{finding.text}{got}")
    lines.append(f"  verdict    {explanation.verdict}")
    return "".join(f"{line}\n" for line in lines)
