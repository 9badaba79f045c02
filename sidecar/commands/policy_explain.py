"""`sidecar policy explain`: what becomes of a connection, and why."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from attrs import evolve

from sidecar.commands.policy_source import (
    NoConfigMap,
    read_config_maps,
    read_rulebook,
    read_text,
    rulebook_named,
)
from sidecar.config.files import UnreadableError
from sidecar.config.problems import ConfigError
from sidecar.identity.names import CertificateNames
from sidecar.policytools.entry import Call
from sidecar.policytools.inbound import SourceNeeded, every_rule, judge
from sidecar.policytools.matrix import EVERYTHING, SCREEN, matrix_of
from sidecar.policytools.matrix_text import matrix_lines, matrix_value
from sidecar.policytools.nearest import SHOWN, nearest
from sidecar.policytools.outbound import ways_to
from sidecar.policytools.question import (
    Asked,
    Question,
    QuestionError,
    View,
    Way,
    parse_question,
    parse_view,
    parse_way,
)
from sidecar.policytools.record import ONE_NAME, asked_by
from sidecar.policytools.text import explanation_lines
from sidecar.policytools.values import explanation_value
from sidecar.policytools.way_text import way_lines, way_value

if TYPE_CHECKING:
    import argparse

    from sidecar.policytools.rulebook import Rulebook


def main(arguments: argparse.Namespace) -> int:
    """Explain what *arguments* ask; give the exit status."""
    problems: list[str] = []
    book = asked = None
    try:
        book = _rulebook(arguments)
    except QuestionError as error:
        problems += error.problems
    except ConfigError as error:
        problems.append(str(error))
    try:
        asked = _asked(arguments)
    except QuestionError as error:
        problems += error.problems
    try:
        if book is not None and asked is not None:
            match asked:
                case Way():
                    return _explain_way(book, asked, arguments)
                case View():
                    return _view(book, asked, arguments)
                case _:
                    return _explain(book, asked, arguments)
    except (ConfigError, QuestionError) as error:
        problems.append(str(error))
    print("\n".join(problems), file=sys.stderr)
    return 2


def _rulebook(arguments: argparse.Namespace) -> Rulebook:
    file, manifests = arguments.file, arguments.manifests
    if (file is None) is (manifests is None):
        got = "none" if file is None else "both"
        raise QuestionError([f"expected one of FILE and --manifests, got {got}"])
    if manifests is not None:
        maps = read_config_maps(manifests)
        try:
            return rulebook_named(maps, arguments.config_map)
        except NoConfigMap as error:
            raise QuestionError([f"--config-map: {error}"]) from None
    if arguments.config_map is not None:
        raise QuestionError(["--config-map: chooses among --manifests, got none"])
    return read_rulebook(file, arguments.endpoint_socket)


def _asked(arguments: argparse.Namespace) -> Question | Way | View:
    asked = Asked(
        peers=tuple(arguments.peer),
        unauthenticated=arguments.unauthenticated,
        certificate=arguments.certificate is not None,
        trust_domain=arguments.trust_domain,
        port=arguments.port,
        source=arguments.source,
        to=arguments.to,
        resolve=tuple(arguments.resolve),
    )
    if arguments.record is not None:
        asked = _recorded(asked, arguments)
    if arguments.matrix:
        return parse_view(asked)
    return parse_question(asked) if asked.to is None else parse_way(asked)


def _recorded(asked: Asked, arguments: argparse.Namespace) -> Asked:
    others = [*asked.given, *(["--matrix"] if arguments.matrix else [])]
    # A name may have other addresses now than when the record was written.
    if problems := [
        f"{option}: --record says it (remove one of them)"
        for option in others
        if option != "--resolve"
    ]:
        raise QuestionError(problems)
    try:
        data = read_text(arguments.record)
    except UnreadableError as error:
        raise QuestionError([f"--record: {arguments.record}: {error}"]) from None
    return evolve(asked_by(data), resolve=asked.resolve)


def _shown(book: Rulebook, call: Call, arguments: argparse.Namespace) -> Call:
    if arguments.certificate is None:
        return call
    # Not at the top: it knows OpenSSL, which nothing else here needs.
    from sidecar.commands import policy_certificate  # noqa: PLC0415

    config = book.config if arguments.manifests is None else None
    return policy_certificate.with_certificate(call, arguments.certificate, config)


def _explain(book: Rulebook, asked: Question, arguments: argparse.Namespace) -> int:
    call = Call(asked.peer, asked.port, asked.source)
    if arguments.record is not None and isinstance(asked.peer, CertificateNames):
        call = evolve(call, notes=(ONE_NAME,))
    call = _shown(book, call, arguments)
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


def _explain_way(book: Rulebook, asked: Way, arguments: argparse.Namespace) -> int:
    config = book.config
    if config is None:
        what = f"routes are in sidecar.yaml, got the policy {book.source}"
        raise QuestionError([f"--to: {what} (name the configuration instead)"])
    server = None
    if arguments.peer or arguments.certificate is not None:
        server = _shown(book, Call(asked.peer, asked.to.port), arguments)
    ways = ways_to(config, asked.to, asked.names, server)
    who = None if server is None else server.peer
    if arguments.json:
        print(json.dumps([way_value(book, config, way, who) for way in ways], indent=2))
    else:
        most = None if arguments.all else SHOWN
        for way in ways:
            print("\n".join(way_lines(book, config, way, who, most=most)))
    return 0 if all(way.allowed for way in ways) else 1


def _view(book: Rulebook, asked: View, arguments: argparse.Namespace) -> int:
    matrix = matrix_of(book, asked.source, EVERYTHING if arguments.all else SCREEN)
    if arguments.json:
        print(json.dumps(matrix_value(book, matrix), indent=2))
    else:
        print("\n".join(matrix_lines(matrix)))
    return 0
