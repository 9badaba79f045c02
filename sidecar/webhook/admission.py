"""The one page of the webhook: a review is posted, and answered."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import trio

from sidecar.admin.messages import JSON, Request, Response, text
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

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.injector.model import InjectionSettings
    from sidecar.webhook.metrics import WebhookMetrics

_LOG = logging.getLogger(__name__)

PATH: Final = "/inject"
MISSPELT: Final = "/misspelt"
"""For pods of namespaces whose label is no word for yes or no."""

_TOLD: Final = frozenset({Result.PATCHED, Result.REFUSED, Result.INVALID})
_LONGEST: Final = 1000
_SMALL: Final = 64 * 1024


class Admission:
    """Answers reviews with the *settings* of the moment.

    Args:
        settings: Gives them.
        fail_open: Whether a pod is let through, without the sidecar, where we fail.
        metrics: Count it.
    """

    def __init__(
        self,
        settings: Callable[[], InjectionSettings],
        metrics: WebhookMetrics,
        *,
        fail_open: bool,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._fail_open = fail_open
        self._one_large_one = trio.CapacityLimiter(1)

    async def __call__(self, request: Request) -> Response:
        """Answer; whatever has a UID gets an AdmissionReview back."""
        began = trio.current_time()
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        if kind.lower() != JSON:
            self._metrics.reviewed(Result.INVALID, 0)
            return text(f"content-type: expected {JSON}, got {kind[:80]!r}", 415)
        try:
            if len(request.body) <= _SMALL:
                review, verdict, body = self._answer(request)
            else:
                # One that takes a second must not hold up probes and small ones.
                review, verdict, body = await trio.to_thread.run_sync(
                    self._answer, request, limiter=self._one_large_one
                )
        except ReviewError as error:
            self._metrics.reviewed(Result.INVALID, trio.current_time() - began)
            return text(str(error), 400)
        self._metrics.reviewed(verdict.result, trio.current_time() - began)
        _tell(review, verdict)
        return Response(200, body, JSON)

    def _answer(self, request: Request) -> tuple[Review, Verdict, bytes]:
        review = parse_review(request.body)
        verdict = self._decide(review, misspelt=request.path == MISSPELT)
        return review, verdict, answer(review.uid, verdict)

    def _decide(self, review: Review, *, misspelt: bool) -> Verdict:
        fail_open = self._fail_open
        try:
            return decide(
                review, self._settings(), fail_open=fail_open, misspelt=misspelt
            )
        except Exception:  # noqa: BLE001 - ours, and the pods' fate is the operator's to say
            _LOG.exception("a review failed", extra={"uid": review.uid})
            why = "the webhook failed, its log has the reason"
            return mistaken(Result.FAILED, why, fail_open=fail_open)


def _tell(review: Review, verdict: Verdict) -> None:
    if verdict.result in _TOLD:
        extra = {
            "result": verdict.result.value,
            "namespace": review.namespace,
            "pod": review.name,
            "uid": review.uid,
            "why": verdict.message[:_LONGEST],
        }
        _LOG.info("reviewed", extra={k: v for k, v in extra.items() if v})
