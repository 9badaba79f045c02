from __future__ import annotations

import datetime as dt
import shutil
import subprocess

from prometheus_client import CollectorRegistry

from sidecar.webhook.metrics import WHATS, WebhookMetrics
from sidecar.webhook.review import Result
from tests.support.programs import require
from tests.support.sidecars import Samples


def page(metrics: WebhookMetrics) -> str:
    return b"".join(metrics.render_parts()).decode()


def test_every_series_is_there_from_the_start() -> None:
    samples = Samples.parse(page(WebhookMetrics(CollectorRegistry())))
    for result in Result:
        assert samples.sum("sidecar_webhook_reviews_total", result=result) == 0
    for what in WHATS:
        for outcome in ("success", "failure"):
            labels = {"what": what, "result": outcome}
            assert samples.sum("sidecar_webhook_reloads_total", **labels) == 0
    assert samples["sidecar_webhook_handshake_failures_total"] == 0


def test_what_happens_is_counted() -> None:
    metrics = WebhookMetrics(CollectorRegistry())
    metrics.reviewed(Result.PATCHED, 0.003)
    metrics.handshake_failed()
    metrics.reloaded("settings", ok=False)
    metrics.certificate_loaded(dt.datetime(2030, 1, 1, tzinfo=dt.UTC))
    samples = Samples.parse(page(metrics))
    assert samples.sum("sidecar_webhook_reviews_total", result="patched") == 1
    assert samples["sidecar_webhook_review_seconds_sum"] == 0.003
    assert samples["sidecar_webhook_handshake_failures_total"] == 1
    labels = {"what": "settings", "result": "failure"}
    assert samples.sum("sidecar_webhook_reloads_total", **labels) == 1
    expiry = samples["sidecar_webhook_certificate_expiry_timestamp_seconds"]
    assert expiry == 1893456000


def test_promtool_finds_nothing_wrong() -> None:
    command = [str(require("promtool")), "check", "metrics"]
    text = page(WebhookMetrics(CollectorRegistry()))
    assert shutil.which(command[0])
    checked = subprocess.run(
        command, input=text, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")
