"""Probes of the application, which the kubelet asks of the sidecar."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse

from tests.integration.conftest import API, Town
from tests.support.ports import free_port
from tests.support.processes import Process
from tests.support.programs import require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEALTH = "/app-health/web/"


@pytest.fixture
def health_service() -> Iterator[tuple[int, health.HealthServicer]]:
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        servicer = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield port, servicer
        server.stop(0).wait()


def web(town: Town, http: int, https: int) -> Process:
    """An nginx that is well for those who ask as a kubelet does."""
    own = town.svid(API, name="web")
    configuration = town.folder / "nginx.conf"
    configuration.write_text(
        f"worker_processes 1; daemon off; pid {town.folder}/nginx.pid;"
        f"error_log {town.folder}/nginx.log; events {{ }} http {{ access_log off;"
        f"server {{ listen 127.0.0.1:{http};"
        f" listen 127.0.0.1:{https} ssl http2;"
        f" ssl_certificate {own.certificate_chain};"
        f" ssl_certificate_key {own.private_key};"
        " if ($http_user_agent !~ ^kube-probe/1) { return 403; }"
        ' location = /live { return 200 "$host $http_x_shop $arg_full\\n"; }'
        f" location = /secure {{ return 301 https://127.0.0.1:{https}/live?full=2; }}"
        " location = /away { return 302 http://shop.example/; }"
        " location = /down { return 503; } } }"
    )
    program = require("nginx")
    return Process([program, "-c", configuration, "-p", town.folder], town.folder)


def curl(folder: Path, port: int, path: str) -> tuple[int, str]:
    """Ask as the kubelet would; give the status and the body."""
    url = f"http://127.0.0.1:{port}{HEALTH}{path}"
    command = [
        str(require("curl")),
        "-sS",
        "-A",
        "kube-probe/1.35",
        "-w",
        "\n%{http_code}",
    ]
    asked = subprocess.run(
        [*command, url], cwd=folder, capture_output=True, text=True, check=True
    )
    body, _, status = asked.stdout.rpartition("\n")
    return int(status), body.strip()


@pytest.mark.parametrize("workers", [1, 2])
def test_the_kubelet_hears_of_the_sidecar_what_the_application_says(
    town: Town, health_service: tuple[int, health.HealthServicer], workers: int
) -> None:
    http, https, nowhere = free_port(), free_port(), free_port()
    headers = [{"name": "Host", "value": "shop"}, {"name": "X-Shop", "value": "open"}]
    full = {"path": "/live?full=1", "port": http, "httpHeaders": headers}
    probes: dict[str, Any] = {
        "/app-health/web/livez": {"httpGet": full},
        "/app-health/web/readyz": {"httpGet": {"path": "/down", "port": http}},
        "/app-health/web/startupz": {"httpGet": {"path": "/secure", "port": http}},
        "/app-health/web/prestopz": {"httpGet": {"path": "/away", "port": http}},
        "/app-health/web/a": {
            "httpGet": {"path": "/live", "port": https, "scheme": "HTTPS"}
        },
        "/app-health/web/b": {"tcpSocket": {"port": http}},
        "/app-health/web/c": {"tcpSocket": {"port": nowhere}},
        "/app-health/web/d": {"grpc": {"port": health_service[0]}},
    }
    env = {"SIDECAR_APP_PROBES": json.dumps(probes)}
    with (
        web(town, http, https) as app,
        town.server(http, env=env, workers=workers) as sidecar,
    ):
        app.wait_for_port(https)
        port = int(sidecar.configuration["telemetry"]["listen"].rpartition(":")[2])
        folder = town.folder
        assert curl(folder, port, "livez") == (200, "shop open 1")
        assert curl(folder, port, "readyz")[0] == 503
        assert curl(folder, port, "startupz") == (200, "127.0.0.1  2")
        assert curl(folder, port, "prestopz")[0] == 302
        assert curl(folder, port, "a") == (200, "127.0.0.1")
        assert curl(folder, port, "b")[0] == 200
        assert curl(folder, port, "c")[0] == 502
        assert curl(folder, port, "nobody")[0] == 404
        answer = curl(folder, port, "d")
        health_service[1].set("", HealthCheckResponse.NOT_SERVING)
        after = curl(folder, port, "d")
        assert (answer[0], after[0]) == (200, 503)
        assert after[1] == "service unhealthy: responded with NOT_SERVING"
        assert sidecar.get("/readyz") == (200, "ready\n")


@pytest.mark.parametrize("workers", [1, 2])
def test_probes_that_make_no_sense_stop_the_start(town: Town, workers: int) -> None:
    probes = {"/livez": {}, "/app-health/web/livez": {"tcpSocket": {"port": "http"}}}
    env = {"SIDECAR_APP_PROBES": json.dumps(probes)}
    sidecar = town.server(free_port(), env=env, workers=workers, ready=False)
    with sidecar:
        assert sidecar.wait() == 2
    said = sidecar.errors()
    assert said.startswith("SIDECAR_APP_PROBES: 2 problems\n")
    assert "expected /app-health/CONTAINER/PROBE as a path, got '/livez'" in said
    assert "tcpSocket: port: expected a whole number from 1 to 65535" in said
