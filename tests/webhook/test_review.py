from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from sidecar.injector.model import InjectionSettings
from sidecar.webhook.review import (
    Result,
    Review,
    ReviewError,
    Verdict,
    answer,
    decide,
    mistaken,
    parse_review,
)
from tests.webhook.reviews import UID, body, patched, pod, response, review

SETTINGS = InjectionSettings("sidecar:1")
AS_ROOT_OF_THE_MESH = {"runAsUser": 1337}


def decided(subject: Any = None, *, fail_open: bool = False, **changes: Any) -> Verdict:
    return decide(parse_review(body(subject, **changes)), SETTINGS, fail_open=fail_open)


def test_a_review_is_read() -> None:
    assert parse_review(body()) == Review(
        UID, None, creates_pod=True, namespace="shop", name="web-5d4f-", pod=pod()
    )


@pytest.mark.parametrize(
    ("request_says", "pod_says", "namespace"),
    [("shop", "else", "shop"), ("", "else", "else"), (None, None, "default")],
)
def test_the_namespace_is_that_of_the_request(
    request_says: str | None, pod_says: str | None, namespace: str
) -> None:
    text = body(pod(namespace=pod_says), namespace=request_says)
    assert parse_review(text).namespace == namespace


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b"[]",
        b"{}",
        b'{"request": []}',
        b'{"request": {}}',
        b'{"request": {"uid": 7}}',
        b'{"request": {"uid": ""}}',
        json.dumps({"request": {"uid": "a" * 254}}).encode(),
    ],
)
def test_what_has_no_uid_cannot_be_answered(text: bytes) -> None:
    with pytest.raises(ReviewError):
        parse_review(text)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"apiVersion": "admission.k8s.io/v1beta1"},
            "expected admission.k8s.io/v1 and AdmissionReview, got"
            " 'admission.k8s.io/v1beta1' and 'AdmissionReview'",
        ),
        (
            {"kind": None},
            "expected admission.k8s.io/v1 and AdmissionReview, got"
            " 'admission.k8s.io/v1' and nothing",
        ),
    ],
)
def test_a_review_of_another_kind_is_answered_with_the_reason(
    changes: dict[str, Any], why: str
) -> None:
    read = parse_review(json.dumps(review() | changes).encode())
    assert (read.uid, read.problem) == (UID, why)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"resource": None}, "request: expected a resource"),
        ({"operation": 1}, "request: expected a resource"),
        ({"object": None}, "request.object: expected a pod, got nothing"),
        ({"object": []}, "request.object: expected a pod, got a list"),
    ],
)
def test_a_request_that_makes_no_sense_fails_as_was_chosen(
    changes: dict[str, Any], why: str
) -> None:
    assert decided(**changes) == Verdict(Result.INVALID, allowed=False, message=why)
    through = decided(**changes, fail_open=True)
    assert through.allowed
    assert through.warnings == (f"no sidecar for this pod: {why}",)


@pytest.mark.parametrize(
    "changes",
    [
        {"operation": "UPDATE"},
        {"operation": "DELETE", "object": None},
        {"subResource": "ephemeralcontainers"},
        {"resource": {"group": "apps", "version": "v1", "resource": "deployments"}},
    ],
)
def test_only_pods_that_are_created_are_patched(changes: dict[str, Any]) -> None:
    verdict = decided(**changes)
    assert (verdict.result, verdict.allowed) == (Result.SKIPPED, True)
    assert verdict.operations == ()
    assert verdict.warnings == ()


def test_a_pod_gets_the_sidecar() -> None:
    verdict = decided()
    assert verdict.result is Result.PATCHED
    result = patched(pod(), answer(UID, verdict))
    names = [each["name"] for each in result["spec"]["containers"]]
    assert names == ["sidecar", "web"]


def test_a_pod_may_say_that_it_does_not_want_it() -> None:
    verdict = decided(pod(labels={"sidecar.mesh/inject": "disabled"}))
    assert verdict.result is Result.SKIPPED
    assert response(answer(UID, verdict)) == {"uid": UID, "allowed": True}


@pytest.mark.parametrize(
    ("labels", "warned"),
    [({"sidecar.mesh/inject": "enabled"}, True), ({}, False)],
)
def test_who_asked_for_it_and_cannot_have_it_is_told(
    labels: dict[str, str], *, warned: bool
) -> None:
    subject = pod(labels=labels)
    subject["spec"]["hostNetwork"] = True
    given = response(answer(UID, decided(subject)))
    assert given["allowed"]
    assert ("warnings" in given) is warned


def test_who_has_it_is_not_told_that_there_is_none() -> None:
    subject = pod(labels={"sidecar.mesh/inject": "enabled"})
    subject = patched(subject, answer(UID, decided(subject)))
    verdict = decided(subject)
    assert (verdict.result, verdict.warnings) == (Result.SKIPPED, ())


def test_a_word_that_is_no_switch_is_refused_and_not_taken_for_a_wish() -> None:
    verdict = decided(pod(labels={"sidecar.mesh/inject": "perhaps"}))
    assert verdict.result is Result.REFUSED
    subject = pod(annotations={"sidecar.mesh/inject": "perhaps"})
    subject["metadata"]["labels"] = {"sidecar.mesh/inject": "false"}
    assert decided(subject).warnings == ()


def test_a_refusal_says_what_has_to_change() -> None:
    subject = pod()
    subject["spec"]["securityContext"] = AS_ROOT_OF_THE_MESH
    given = response(answer(UID, decided(subject, fail_open=True)))
    assert not given["allowed"]
    assert given["status"]["code"] == 422
    assert "spec.containers[web]: runAsUser 1337" in given["status"]["message"]


@pytest.mark.parametrize("result", [Result.INVALID, Result.FAILED])
@pytest.mark.parametrize("fail_open", [True, False])
def test_what_fails_fails_as_was_chosen(result: Result, *, fail_open: bool) -> None:
    given = response(answer(UID, mistaken(result, "why", fail_open=fail_open)))
    assert given["allowed"] is fail_open
    if fail_open:
        assert given["warnings"] == ["no sidecar for this pod: why"]
    else:
        code = {Result.INVALID: 400, Result.FAILED: 500}[result]
        assert given["status"] == {"code": code, "message": "why"}


def test_what_is_said_is_no_longer_than_an_api_server_takes() -> None:
    long = Verdict(Result.PATCHED, warnings=("a" * 300,) * 20)
    warnings = response(answer(UID, long))["warnings"]
    assert [len(each) for each in warnings] == [256] * 10
    refused = Verdict(Result.REFUSED, allowed=False, message="a" * 10_000)
    assert len(response(answer(UID, refused))["status"]["message"]) == 8192


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = ["uid", "resource", "object", "operation", "namespace", "name", "subResource"]


@st.composite
def hostile(draw: st.DrawFn) -> bytes:
    """A review with something in it that does not belong there."""
    made = review()
    where: Any = made
    for _ in range(draw(st.integers(0, 5))):
        keys = list(where) if isinstance(where, dict) else range(len(where))
        inside = [key for key in keys if isinstance(where[key], dict | list)]
        if not any(where[key] for key in inside):
            break
        where = where[draw(st.sampled_from([key for key in inside if where[key]]))]
    keys = list(where) if isinstance(where, dict) else list(range(len(where)))
    where[draw(st.sampled_from(keys))] = draw(values)
    return json.dumps(made).encode()


@given(
    text=st.binary(max_size=60)
    | values.map(lambda v: json.dumps(v).encode())
    | hostile()
)
def test_any_body_is_answered_or_refused(text: bytes) -> None:
    try:
        read = parse_review(text)
    except ReviewError:
        return
    for fail_open in (True, False):
        given = response(answer(read.uid, decide(read, SETTINGS, fail_open=fail_open)))
        assert given["uid"] == read.uid
