from __future__ import annotations

import logging
from typing import Any

import pytest
import trio
import trio.testing
from prometheus_client import CollectorRegistry

from sidecar.admin.messages import Request, Response
from sidecar.injector.model import InjectionSettings
from sidecar.webhook.admission import Admission
from sidecar.webhook.metrics import WebhookMetrics
from tests.webhook.reviews import UID, body, patched, pod, response

SETTINGS = InjectionSettings("sidecar:1")


class Webhook:
    """An admission, and what it has counted."""

    def __init__(self, *, fail_open: bool = False, settings: Any = SETTINGS) -> None:
        self.registry = CollectorRegistry()
        metrics = WebhookMetrics(self.registry)
        self.admission = Admission(lambda: settings, metrics, fail_open=fail_open)

    async def post(
        self, data: bytes, kind: str = "application/json", path: str = "/inject"
    ) -> Response:
        headers = {"content-type": kind}
        return await self.admission(Request("POST", path, headers=headers, body=data))

    def counted(self, result: str) -> float | None:
        name = "sidecar_webhook_reviews_total"
        return self.registry.get_sample_value(name, {"result": result})


@pytest.fixture
def webhook() -> Webhook:
    return Webhook()


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=utf-8"]
)
async def test_a_pod_gets_the_sidecar(webhook: Webhook, kind: str) -> None:
    answered = await webhook.post(body(), kind)
    assert (answered.status, answered.content_type) == (200, "application/json")
    result = patched(pod(), answered.body)
    assert result["spec"]["containers"][0]["name"] == "sidecar"
    assert webhook.counted("patched") == 1


async def test_a_pod_of_a_namespace_whose_label_is_no_word_is_refused(
    webhook: Webhook,
) -> None:
    answered = await webhook.post(body(), path="/misspelt")
    given = response(answered.body)
    assert not given["allowed"]
    assert given["status"]["message"] == (
        "no sidecar for this pod: the label of the namespace shop, sidecar.mesh/inject:"
        " expected 'enabled' or 'disabled' (or 'true', 'false'), got 'another word'"
    )
    said = body(pod(annotations={"sidecar.mesh/inject": "disabled"}))
    answered = await webhook.post(said, path="/misspelt")
    assert response(answered.body)["allowed"]
    assert (webhook.counted("refused"), webhook.counted("skipped")) == (1, 1)


@pytest.mark.parametrize("kind", ["", "text/plain", "application/yaml"])
async def test_another_type_is_refused_as_http_does(
    webhook: Webhook, kind: str
) -> None:
    answered = await webhook.post(body(), kind)
    assert answered.status == 415
    assert answered.body == (
        f"content-type: expected application/json, got {kind!r}\n".encode()
    )
    assert webhook.counted("invalid") == 1


async def test_what_cannot_be_answered_is_told_why(webhook: Webhook) -> None:
    answered = await webhook.post(b"{}")
    assert answered.status == 400
    assert answered.body == b"request.uid: expected text, got nothing\n"
    assert webhook.counted("invalid") == 1


async def test_what_can_be_answered_is_answered(webhook: Webhook) -> None:
    answered = await webhook.post(body(object=7))
    assert answered.status == 200
    assert response(answered.body) == {
        "uid": UID,
        "allowed": False,
        "status": {"code": 400, "message": "request.object: expected a pod, got 7"},
    }


@pytest.mark.parametrize("fail_open", [True, False])
async def test_a_bug_of_ours_fails_as_was_chosen(
    caplog: pytest.LogCaptureFixture, *, fail_open: bool
) -> None:
    webhook = Webhook(fail_open=fail_open, settings=None)
    given = response((await webhook.post(body())).body)
    assert given["allowed"] is fail_open
    assert given["uid"] == UID
    assert webhook.counted("failed") == 1
    assert "a review failed" in caplog.messages


async def test_a_refusal_is_in_the_log_with_the_pod_and_the_reason(
    webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    subject = pod()
    subject["spec"]["securityContext"] = {"runAsUser": 1337}
    await webhook.post(body(subject))
    (record,) = caplog.records
    said = record.__dict__
    assert (said["result"], said["namespace"], said["pod"]) == (
        "refused",
        "shop",
        "web-5d4f-",
    )
    assert "runAsUser 1337" in said["why"]


async def test_what_is_left_alone_is_not_in_the_log(
    webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await webhook.post(body(operation="UPDATE"))
    assert caplog.records == []
    assert webhook.counted("skipped") == 1


async def test_a_large_pod_holds_up_nobody(webhook: Webhook) -> None:
    large = pod()
    large["spec"]["containers"] = [
        {"name": f"c{n}", "image": "x", "env": [{"name": "N", "value": "x" * 40}]}
        for n in range(3000)
    ]
    order: list[str] = []

    async def ask(subject: dict[str, Any]) -> None:
        answered = await webhook.post(body(subject))
        assert response(answered.body)["allowed"]
        order.append("large" if subject is large else "small")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, large)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(ask, pod())
    assert order == ["small", "large"]
    assert webhook.counted("patched") == 2
