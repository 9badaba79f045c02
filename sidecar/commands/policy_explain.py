"""`sidecar policy explain`: what becomes of a connection, and why."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from sidecar.commands.policy_source import (
    read_config_maps,
    read_rulebook,
    rulebook_named,
)
from sidecar.config.problems import ConfigError
from sidecar.policytools.entry import Call
from sidecar.policytools.inbound import SourceNeeded, every_rule, judge
from sidecar.policytools.nearest import SHOWN, nearest
from sidecar.policytools.question import Asked, QuestionError, parse_question
from sidecar.policytools.text import explanation_lines
from sidecar.policytools.values import explanation_value

if TYPE_CHECKING:
    import argparse

    from sidecar.policytools.rulebook import Rulebook


def main(arguments: argparse.Namespace) -> int:
    """Explain what *arguments* ask; give the exit status."""
    problems: list[str] = []
    book = call = None
    try:
        book = _rulebook(arguments)
    except QuestionError as error:
        problems += error.problems
    except ConfigError as error:
        problems.append(str(error))
    try:
        call = _call(arguments)
    except QuestionError as error:
        problems += error.problems
    if book is None or call is None:
        print("\n".join(problems), file=sys.stderr)
        return 2
    try:
        if arguments.certificate is not None:
            # Not at the top: it knows OpenSSL, which nothing else here needs.
            from sidecar.commands import policy_certificate  # noqa: PLC0415

            config = book.config if arguments.manifests is None else None
            path = arguments.certificate
            call = policy_certificate.with_certificate(call, path, config)
        return _explain(book, call, arguments)
    except (ConfigError, QuestionError) as error:
        print(error, file=sys.stderr)
        return 2


def _rulebook(arguments: argparse.Namespace) -> Rulebook:
    file, manifests = arguments.file, arguments.manifests
    if (file is None) is (manifests is None):
        got = "none" if file is None else "both"
        raise QuestionError([f"expected one of FILE and --manifests, got {got}"])
    if manifests is not None:
        return rulebook_named(read_config_maps(manifests), arguments.config_map)
    if arguments.config_map is not None:
        raise QuestionError(["--config-map: chooses among --manifests, got none"])
    return read_rulebook(file, arguments.endpoint_socket)


def _call(arguments: argparse.Namespace) -> Call:
    asked = Asked(
        peers=tuple(arguments.peer),
        unauthenticated=arguments.unauthenticated,
        certificate=arguments.certificate is not None,
        trust_domain=arguments.trust_domain,
        port=arguments.port,
        source=arguments.source,
    )
    question = parse_question(asked)
    return Call(question.peer, question.port, question.source)


def _explain(book: Rulebook, call: Call, arguments: argparse.Namespace) -> int:
    try:
        judgement = judge(book, call)
    except SourceNeeded as error:
        raise QuestionError([_source_needed(book, error.number)]) from None
    said = every_rule(book, judgement)
    shown = nearest(said, None if arguments.all else SHOWN)
    if arguments.json:
        print(json.dumps(explanation_value(book, judgement, shown), indent=2))
    else:
        print("\n".join(explanation_lines(book, judgement, shown)))
    return 0 if judgement.allowed else 1


def _source_needed(book: Rulebook, number: int) -> str:
    name, place = book.policy.rules[number].name, book.rule_place(number)
    return f"--source: missing: rule {name!r} ({place}) asks where it comes from"
