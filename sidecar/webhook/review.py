"""An AdmissionReview in, an AdmissionReview out (admission.k8s.io/v1). No I/O.

An API server sends what is about to be created and a UID; it wants the UID back, a yes
or no, and what to change as a JSON patch. Whatever carries a UID gets such an answer.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from attrs import frozen

from sidecar.config.wording import shown
from sidecar.injector.again import ALREADY
from sidecar.injector.annotations import parse_switch
from sidecar.injector.model import (
    INJECT,
    InjectionContext,
    InjectionSettings,
    Operation,
    Patched,
    Refused,
)
from sidecar.injector.patch import inject

API_VERSION: Final = "admission.k8s.io/v1"
KIND: Final = "AdmissionReview"

_LONGEST_UID: Final = 253
# Longer ones may be cut by the API server, and so may what is past 4096 in all.
_LONGEST_WARNING: Final = 256
_MOST_WARNINGS: Final = 10
_LONGEST_MESSAGE: Final = 8 * 1024


class ReviewError(ValueError):
    """The bytes are no review that could be answered; the message says why."""


class Result(StrEnum):
    """What came of a review; the label of a metric."""

    PATCHED = "patched"
    SKIPPED = "skipped"
    REFUSED = "refused"
    INVALID = "invalid"
    """It was not a review as Kubernetes sends them."""
    FAILED = "failed"
    """Our own code went wrong."""


@frozen
class Review:
    """A question of an API server.

    Attributes:
        problem: Why there is nothing to decide, though it can be answered.
        creates_pod: Whether it is about a pod that is created.
        name: The pod's own, or what its name begins with.
    """

    uid: str
    problem: str | None = None
    creates_pod: bool = False
    namespace: str = "default"
    name: str = ""
    pod: Any = None


@frozen
class Verdict:
    """What is answered.

    Attributes:
        message: Why it is not allowed, or what was decided.
        warnings: Sentences that the user of kubectl is shown.
    """

    result: Result
    allowed: bool = True
    message: str = ""
    operations: tuple[Operation, ...] = ()
    warnings: tuple[str, ...] = ()


def parse_review(body: bytes) -> Review:
    """Read what an API server has sent.

    Raises:
        ReviewError: It has no UID, so no answer could be told from another. No other
            exception escapes, whatever the bytes.
    """
    try:
        review = json.loads(body)
    except (ValueError, RecursionError):
        raise ReviewError("the body: expected JSON, got something else") from None
    request = _mapping(_mapping(review).get("request"))
    uid = request.get("uid")
    if not isinstance(uid, str) or not 0 < len(uid) <= _LONGEST_UID:
        raise ReviewError(f"request.uid: expected text, got {shown(uid)}")
    kind, version = review.get("kind"), review.get("apiVersion")
    if (version, kind) != (API_VERSION, KIND):
        got = f"{shown(version)} and {shown(kind)}"
        return Review(uid, f"expected {API_VERSION} and {KIND}, got {got}")
    resource = _mapping(request.get("resource"))
    what = tuple(resource.get(key) for key in ("group", "version", "resource"))
    about = (request.get("operation"), request.get("subResource") or "", what)
    if about != ("CREATE", "", ("", "v1", "pods")):
        wrong = not all(isinstance(each, str) for each in (about[0], what[2]))
        return Review(uid, "request: expected a resource" if wrong else None)
    pod = request.get("object")
    if not isinstance(pod, Mapping):
        return Review(uid, f"request.object: expected a pod, got {shown(pod)}")
    metadata = _mapping(pod.get("metadata"))
    return Review(
        uid,
        creates_pod=True,
        namespace=_text(request.get("namespace"), metadata.get("namespace"), "default"),
        name=_text(
            request.get("name"), metadata.get("name"), metadata.get("generateName")
        ),
        pod=pod,
    )


def decide(
    review: Review,
    settings: InjectionSettings,
    *,
    fail_open: bool,
    misspelt: bool = False,
) -> Verdict:
    """Say what is to become of what *review* is about.

    The selectors of the webhook have decided that the pod is asked about, so it gets
    the sidecar unless it says otherwise itself.

    Args:
        review: The question.
        settings: Those of the mesh.
        fail_open: Whether what makes no sense is let through.
        misspelt: Whether its namespace has the label `INJECT`, but in a word that is
            neither yes nor no. Which one an API server does not say.
    """
    if review.problem is not None:
        return mistaken(Result.INVALID, review.problem, fail_open=fail_open)
    if not review.creates_pod:
        return Verdict(Result.SKIPPED, message="only pods that are created are patched")
    labels = {INJECT: "another word"} if misspelt else {}
    context = InjectionContext(review.namespace, labels, enabled=True)
    decision = inject(review.pod, context, settings)
    if isinstance(decision, Patched):
        return Verdict(
            Result.PATCHED,
            operations=decision.operations,
            warnings=tuple(f"sidecar: {note}" for note in decision.notes),
        )
    if isinstance(decision, Refused):
        message = f"no sidecar for this pod: {decision.message}"
        return Verdict(Result.REFUSED, allowed=False, message=message)
    asked = decision != ALREADY and _asked_for(_mapping(review.pod.get("metadata")))
    warning = f"no sidecar for this pod: {decision.reason}"
    return Verdict(
        Result.SKIPPED,
        message=decision.reason,
        warnings=(warning,) if asked else (),
    )


def mistaken(result: Result, why: str, *, fail_open: bool) -> Verdict:
    """Answer where nothing could be decided."""
    if fail_open:
        warning = f"no sidecar for this pod: {why}"
        return Verdict(result, message=why, warnings=(warning,))
    return Verdict(result, allowed=False, message=why)


_CODES: Final = {Result.REFUSED: 422, Result.INVALID: 400, Result.FAILED: 500}


def answer(uid: str, verdict: Verdict) -> bytes:
    """Write the answer to the review with this UID."""
    response: dict[str, Any] = {"uid": uid, "allowed": verdict.allowed}
    if not verdict.allowed:
        response["status"] = {
            "code": _CODES[verdict.result],
            "message": _cut(verdict.message, _LONGEST_MESSAGE),
        }
    if verdict.operations:
        patch = json.dumps(verdict.operations, separators=(",", ":"))
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(patch.encode("ascii")).decode("ascii")
    if verdict.warnings:
        some = verdict.warnings[:_MOST_WARNINGS]
        response["warnings"] = [_cut(each, _LONGEST_WARNING) for each in some]
    review = {"apiVersion": API_VERSION, "kind": KIND, "response": response}
    return json.dumps(review, separators=(",", ":")).encode("ascii")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(*candidates: Any) -> str:
    """Give the first that says something."""
    return next((each for each in candidates if isinstance(each, str) and each), "")


def _asked_for(metadata: Mapping[str, Any]) -> bool:
    """Tell whether a pod says itself that it wants the sidecar."""
    for section in ("labels", "annotations"):
        text = _mapping(metadata.get(section)).get(INJECT)
        try:
            if isinstance(text, str) and parse_switch(text):
                return True
        except ValueError:
            continue
    return False


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
