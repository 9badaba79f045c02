from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.injector.operations import applied
from sidecar.injector.rewriting import rewritten, with_source
from sidecar.injector.status import Status, parse_status

ADD: dict[str, Any] = {"op": "add", "path": "/a/x", "value": 1}


def test_a_text_is_edited_in_place_where_it_can_be() -> None:
    text = "a: {b: 1} # c\n"
    wanted = {"a": {"b": 1, "x": 1}}
    assert rewritten(text, [ADD], {}, wanted) == ('a: {b: 1, "x": 1} # c\n', "")


@pytest.mark.parametrize(
    ("text", "after", "why"),
    [
        ("a: &b {}\nc: *b\n", "a:\n  x: 1\nc: {}\n", None),
        (
            "# d\n---\nc: &b {}\na: *b\n# e\n",
            "# d\n---\nc: {}\na:\n  x: 1\n",
            "a is an alias",
        ),
    ],
)
def test_otherwise_it_is_written_anew_and_that_is_said(
    text: str, after: str, why: str | None
) -> None:
    value: dict[str, Any] = {"a": {}, "c": {}} if why is None else {"c": {}, "a": {}}
    result, note = rewritten(text, [ADD], {}, applied(value, [ADD]))
    assert result == after
    reason = why or "its text cannot be edited in place"
    assert note == f"written anew, without its comments: {reason}"


def test_json_that_is_written_anew_is_json() -> None:
    text = '{"a": 1, "a": {}}'
    operation = {**ADD, "path": "/b/x"}
    result, note = rewritten(text, [operation], {}, {"a": {}, "b": {"x": "é"}})
    assert json.loads(result) == {"a": {}, "b": {"x": "é"}}
    assert "é" in result
    assert note


def test_a_text_that_is_put_back_has_to_fit() -> None:
    operation = {"op": "replace", "path": "/a", "value": {"b": 1}}
    for source in ("a: {b: 2}", "a: ["):
        result = rewritten("a: 1\n", [operation], {"/a": source}, {"a": {"b": 1}})
        assert result == ("a:\n  b: 1\n", "")
    result = rewritten("a: 1\n", [operation], {"/a": "a: {b:  1}"}, {"a": {"b": 1}})
    assert result == ("a: {b:  1}\n", "")


TEXT = """\
items:
- metadata: {annotations: {}, labels: }
  spec: {containers: [{name: web, livenessProbe: {tcpSocket: {port:  80}}}]}
"""
VALUE: dict[str, Any] = {
    "items": [
        {
            "metadata": {"annotations": {}, "labels": None},
            "spec": {
                "containers": [
                    {"name": "web", "livenessProbe": {"tcpSocket": {"port": 80}}}
                ]
            },
        }
    ]
}
STATUS: dict[str, Any] = {
    "op": "add",
    "path": "/items/0/metadata/annotations/sidecar.mesh~1status",
    "value": Status(
        {},
        was={"/metadata/labels": None},
        handlers={"containers/web/livenessProbe": {"tcpSocket": {"port": 80}}},
    ).render(),
}


def test_the_status_remembers_the_text_that_is_replaced() -> None:
    probe = "/items/0/spec/containers/0/livenessProbe"
    operations: list[dict[str, Any]] = [
        {"op": "remove", "path": f"{probe}/tcpSocket"},
        {"op": "add", "path": f"{probe}/httpGet", "value": {}},
        {"op": "replace", "path": "/items/0/metadata/labels", "value": {}},
        STATUS,
    ]
    *same, last = with_source(TEXT, VALUE, operations)
    assert same == operations[:-1]
    assert parse_status(last["value"]).source == {
        "containers/web/livenessProbe": "tcpSocket: {port:  80}",
        "/metadata/labels": "labels: ",
    }
    assert parse_status(STATUS["value"]).source == {}


def test_a_text_that_cannot_be_edited_is_not_remembered() -> None:
    operation = {"op": "replace", "path": "/items/1/x", "value": {}}
    text = TEXT.replace("metadata: {annotations: {}, labels: }", "metadata: &x {}")
    text += "- *x\n"
    assert with_source(text, VALUE, [operation, STATUS]) == [operation, STATUS]
