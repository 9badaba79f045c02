from __future__ import annotations

from typing import Any

import jsonpatch
import pytest

from sidecar.injector.edits import Edits


@pytest.mark.parametrize(
    ("pod", "was"),
    [
        ({}, {}),
        ({"metadata": None}, {"/metadata": None}),
        ({"metadata": {}}, {"/metadata": {}}),
        ({"metadata": {"labels": None}}, {"/metadata/labels": None}),
        ({"metadata": {"labels": {}}}, {"/metadata/labels": {}}),
        ({"metadata": {"labels": {"x": "y"}}}, {}),
    ],
)
def test_what_is_above_a_member_is_made_and_remembered(
    pod: dict[str, Any], was: dict[str, Any]
) -> None:
    before = repr(pod)
    edits = Edits(pod)
    edits.add_member(("metadata", "labels"), "a", "1")
    edits.add_member(("metadata", "labels"), "b", "2")
    labels = edits.pod["metadata"]["labels"]
    assert (labels.pop("a"), labels.pop("b")) == ("1", "2")
    assert labels in ({}, {"x": "y"})
    assert edits.was == was
    assert repr(pod) == before


@pytest.mark.parametrize(
    ("spec", "was", "after"),
    [
        ({}, {"/spec": {}}, [1, 2]),
        ({"list": None}, {"/spec/list": None}, [1, 2]),
        ({"list": []}, {"/spec/list": []}, [1, 2]),
        ({"list": [0]}, {}, [0, 1, 2]),
    ],
)
def test_items_come_behind_the_others(
    spec: dict[str, Any], was: dict[str, Any], after: list[int]
) -> None:
    edits = Edits({"spec": spec})
    edits.add_items(("spec", "list"), [1, 2], first=False)
    assert edits.pod["spec"]["list"] == after
    assert edits.was == was


def test_items_come_before_the_others() -> None:
    edits = Edits({"spec": {"list": [0]}})
    edits.add_items(("spec", "list"), [1, 2], first=True)
    assert edits.pod["spec"]["list"] == [1, 2, 0]


def test_the_operations_lead_to_what_the_edits_show() -> None:
    pod: dict[str, Any] = {"spec": {"list": [{"old": 1, "same": 2}], "gone": 3}}
    edits = Edits(pod)
    edits.rename(("spec", "list", 0), "old", "new", {"x": 1})
    edits.rename(("spec", "list", 0), "same", "same", 3)
    edits.remove(("spec", "gone"))
    edits.ensure(("metadata", "annotations"))
    edits.add_member(("metadata", "annotations"), "a/b", "c")
    edits.add_items(("spec", "more"), [{"y": []}], first=True)
    assert jsonpatch.JsonPatch(edits.operations).apply(pod) == edits.pod
    assert edits.pod == {
        "spec": {"list": [{"new": {"x": 1}, "same": 3}], "more": [{"y": []}]},
        "metadata": {"annotations": {"a/b": "c"}},
    }
    assert [(each["op"], each["path"]) for each in edits.operations[:3]] == [
        ("remove", "/spec/list/0/old"),
        ("add", "/spec/list/0/new"),
        ("replace", "/spec/list/0/same"),
    ]
