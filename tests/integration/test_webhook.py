"""`sidecar webhook` as an API server meets it: over TLS, for weeks, under load."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from OpenSSL import SSL

from tests.support.deadlines import eventually
from tests.support.pki import new_authority, write_bundle, write_svid
from tests.support.programs import require
from tests.support.webhooks import NAME, Webhook
from tests.webhook.reviews import UID, body, patched, pod, response

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEGABYTE = 1024 * 1024


@pytest.fixture
def webhook(tmp_path: Path) -> Iterator[Webhook]:
    with Webhook(tmp_path, "--drain-delay", "0") as made:
        eventually(made.is_ready, "the webhook is ready")
        yield made


@contextmanager
def dialled(webhook: Webhook) -> Iterator[SSL.Connection]:
    """Keep a connection for as long as the block lasts."""
    with socket.create_connection(("127.0.0.1", webhook.port)) as sock:
        connection = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), sock)
        connection.set_connect_state()
        connection.do_handshake()
        yield connection


def request(data: bytes) -> bytes:
    head = (
        f"POST /inject HTTP/1.1\r\nHost: {NAME}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def read_answer(connection: SSL.Connection) -> tuple[bytes, bytes]:
    """Give the head and the body of the next answer."""
    text = b""
    while b"\r\n\r\n" not in text:
        text += connection.recv(65536)
    head, _, rest = text.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split()[0])
    while len(rest) < length:
        rest += connection.recv(65536)
    return head, rest


def test_a_pod_gets_the_sidecar_and_each_mistake_its_answer(webhook: Webhook) -> None:
    status, answered = webhook.post(body())
    assert status == 200
    result = patched(pod(), answered)
    assert [each["name"] for each in result["spec"]["containers"]] == ["sidecar", "web"]

    status, answered = webhook.post(body(object="nonsense"))
    assert (status, response(answered)["allowed"]) == (200, False)
    assert response(answered)["uid"] == UID
    assert webhook.post(b"nonsense")[0] == 400
    assert webhook.curl("-d", "x=y")[0] == 415
    assert webhook.curl()[0] == 405
    assert webhook.post(b"", "-X", "PUT")[0] == 405

    large = pod(annotations={f"note-{n}": "x" * 1000 for n in range(3000)})
    status, answered = webhook.post(body(large))
    assert status == 200
    assert len(body(large)) > 2.9 * MEGABYTE
    assert patched(large, answered)["metadata"]["annotations"]["note-7"] == "x" * 1000
    assert webhook.post(b"a" * 5 * MEGABYTE)[0] == 413

    samples = webhook.metrics()
    name = "sidecar_webhook_reviews_total"
    assert samples.sum(name, result="patched") == 2
    assert samples.sum(name, result="invalid") == 3
    assert samples.sum(name, result="failed") == 0
    assert samples["sidecar_webhook_handshake_failures_total"] == 0
    log = [json.loads(line) for line in webhook.errors().splitlines()]
    told = [each for each in log if each["event"] == "reviewed"]
    assert [each["result"] for each in told] == ["patched", "invalid", "patched"]
    assert told[0]["pod"] == "web-5d4f-"


def test_openssl_verifies_it_and_speaks_the_versions_that_are_left(
    webhook: Webhook,
) -> None:
    def s_client(*options: str) -> str:
        command = [str(require("openssl")), "s_client", "-connect"]
        where = f"127.0.0.1:{webhook.port}"
        ca = str(webhook.folder / "webhook.bundle.crt")
        ended = subprocess.run(
            [*command, where, "-verify_hostname", NAME, "-CAfile", ca, *options],
            input="",
            capture_output=True,
            text=True,
            check=False,
        )
        return ended.stdout + ended.stderr

    assert "Verify return code: 0 (ok)" in s_client("-tls1_3")
    twelve = s_client("-tls1_2")
    assert "Verify return code: 0 (ok)" in twelve
    assert "TLSv1.2" in twelve
    old = s_client("-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    assert "Verify return code: 0 (ok)" not in old.partition("no peer certificate")[0]
    # Text instead of TLS is counted, and a connection without a word is not.
    socket.create_connection(("127.0.0.1", webhook.port)).close()
    with socket.create_connection(("127.0.0.1", webhook.port)) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        plain.recv(100)
    failures = "sidecar_webhook_handshake_failures_total"
    eventually(lambda: webhook.metrics()[failures] == 2, "two handshakes failed")


def test_certificate_and_settings_are_exchanged_while_it_serves(
    webhook: Webhook,
) -> None:
    with dialled(webhook) as held:
        exchange(webhook)
        # Who came before goes on.
        held.sendall(request(body()))
        assert b"200 OK" in read_answer(held)[0]


def exchange(webhook: Webhook) -> None:
    webhook.authority = new_authority("other.test")
    webhook.rotate()

    def serves_the_new_one() -> bool:
        return webhook.post(body())[0] == 200

    eventually(serves_the_new_one, "the new certificate is shown")
    webhook.settings.write_text("image: sidecar:2\n")

    def image() -> Any:
        given = patched(pod(), webhook.post(body())[1])
        return given["spec"]["containers"][0]["image"]

    eventually(lambda: image() == "sidecar:2", "the new settings are in force")
    webhook.settings.write_text("imgae: sidecar:3\n")
    webhook.signal(signal.SIGHUP)
    webhook.wait_for_line("imgae: unknown key")
    assert image() == "sidecar:2"
    status, text = webhook.page("/readyz")
    assert status == 200
    assert "warning: settings: " in text


def test_sigterm_answers_what_was_asked_and_then_ends(tmp_path: Path) -> None:
    with (
        Webhook(tmp_path, "--drain-delay", "1.5") as webhook,
        ExitStack() as connections,
    ):
        eventually(webhook.is_ready, "the webhook is ready")
        asking, idle, kept = (
            connections.enter_context(dialled(webhook)) for _ in range(3)
        )
        data = request(body())
        asking.sendall(data[:-10])
        for each in (idle, kept):
            each.sendall(data)
            assert b"connection: close" not in read_answer(each)[0].lower()
        webhook.signal(signal.SIGTERM)
        webhook.wait_for_line("draining")
        assert webhook.page("/readyz") == (503, "draining\n")
        # For a while it takes more, and has those who ask go elsewhere next time.
        assert webhook.post(body())[0] == 200
        kept.sendall(data)
        assert b"connection: close" in read_answer(kept)[0].lower()
        # Who asks nothing is left, who has begun to ask is answered.
        with pytest.raises(SSL.Error):
            idle.recv(1)
        asking.sendall(data[-10:])
        assert b"200 OK" in read_answer(asking)[0]
        assert webhook.wait() == 0


def test_a_second_sigterm_ends_it_at_once(tmp_path: Path) -> None:
    with Webhook(tmp_path, "--drain-delay", "60") as webhook:
        eventually(webhook.is_ready, "the webhook is ready")
        webhook.signal(signal.SIGTERM)
        webhook.wait_for_line("draining")
        webhook.signal(signal.SIGTERM)
        assert webhook.wait() == 0


def test_clients_without_a_certificate_are_refused_where_that_is_asked(
    tmp_path: Path,
) -> None:
    callers = new_authority("callers.test")
    roots = write_bundle(tmp_path, callers)
    caller = write_svid(tmp_path, callers, "/apiserver")
    options = ("--client-ca", str(roots), "--drain-delay", "0")
    with Webhook(tmp_path, *options) as webhook:
        eventually(webhook.is_ready, "the webhook is ready")
        assert webhook.post(body())[0] == 0
        cert, key = map(str, caller)
        assert webhook.post(body(), "--cert", cert, "--key", key)[0] == 200
        webhook.wait_for_line("a TLS handshake failed")
