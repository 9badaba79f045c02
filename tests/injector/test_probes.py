from __future__ import annotations

from typing import Any

import pytest

from sidecar.config.app_probes import AppProbe, GrpcProbe, HttpProbe, TcpProbe
from sidecar.injector.pod import Container
from sidecar.injector.probes import ProbeError, Rewrite, asks_us, rewrites_of

PORTS = [
    {"name": "http", "containerPort": 8080},
    {"containerPort": 9000},
    {"name": "strange", "containerPort": "80"},
]


def rewrites(**raw: Any) -> list[Rewrite]:
    raw = {"name": "web", "ports": PORTS, **raw}
    return [*rewrites_of(Container("containers", 1, "web", raw))]


def probe_of(probe: dict[str, Any]) -> AppProbe:
    (rewrite,) = rewrites(livenessProbe=probe)
    return rewrite.probe


@pytest.mark.parametrize(
    ("probe", "meant"),
    [
        ({"httpGet": {"port": 8080}}, HttpProbe(8080)),
        ({"httpGet": {"port": "http", "path": "/x?y=z"}}, HttpProbe(8080, "/x?y=z")),
        ({"httpGet": {"port": "81", "path": "healthz"}}, HttpProbe(81, "/healthz")),
        ({"httpGet": {"port": 1, "path": "/a b/é"}}, HttpProbe(1, "/a%20b/%C3%A9")),
        ({"httpGet": {"port": 1, "path": "/a%20b"}}, HttpProbe(1, "/a%20b")),
        ({"httpGet": {"port": 1, "scheme": "HTTPS"}}, HttpProbe(1, scheme="HTTPS")),
        ({"httpGet": {"port": 1, "host": "::1"}}, HttpProbe(1, host="::1")),
        ({"httpGet": {"port": 1, "host": ""}}, HttpProbe(1)),
        (
            {"httpGet": {"port": 1, "httpHeaders": [{"name": "Host", "value": "x"}]}},
            HttpProbe(1, headers=(("Host", "x"),)),
        ),
        ({"tcpSocket": {"port": "http"}}, TcpProbe(8080)),
        ({"tcpSocket": {"port": 1, "host": "db"}}, TcpProbe(1, "db")),
        ({"grpc": {"port": 9000}}, GrpcProbe(9000)),
        ({"grpc": {"port": 9000, "service": "api"}}, GrpcProbe(9000, "api")),
        ({"grpc": {"port": 9000, "service": None}}, GrpcProbe(9000)),
    ],
)
def test_a_probe_is_performed_as_the_kubelet_would(
    probe: dict[str, Any], meant: HttpProbe | TcpProbe | GrpcProbe
) -> None:
    assert probe_of(probe) == AppProbe(meant, 1)


def test_it_has_the_time_that_it_had() -> None:
    assert (
        probe_of({"tcpSocket": {"port": 1}, "timeoutSeconds": 7}).timeout_seconds == 7
    )


def test_each_probe_has_a_path_of_its_own_and_an_exec_is_left_alone() -> None:
    check = {"httpGet": {"port": 8080}}
    found = rewrites(
        livenessProbe={"exec": {"command": ["true"]}},
        readinessProbe=check,
        startupProbe={"tcpSocket": {"port": 9000}},
        lifecycle={"postStart": {"exec": {}}, "preStop": check},
    )
    assert [(each.key, each.above, each.kind, each.asked) for each in found] == [
        (
            "containers/web/readinessProbe",
            ("spec", "containers", 1, "readinessProbe"),
            "httpGet",
            "/app-health/web/readyz",
        ),
        (
            "containers/web/startupProbe",
            ("spec", "containers", 1, "startupProbe"),
            "tcpSocket",
            "/app-health/web/startupz",
        ),
        (
            "containers/web/lifecycle/preStop",
            ("spec", "containers", 1, "lifecycle", "preStop"),
            "httpGet",
            "/app-health/web/prestopz",
        ),
    ]
    assert found[0].original == {"port": 8080}
    assert found[0].handler == {
        "path": "/app-health/web/readyz",
        "port": 15020,
        "scheme": "HTTP",
    }
    assert found[2].probe.timeout_seconds == 30


def test_a_hook_by_tcp_does_nothing_and_is_left_alone() -> None:
    assert rewrites(lifecycle={"preStop": {"tcpSocket": {"port": 1}}}) == []


@pytest.mark.parametrize(
    ("probe", "what"),
    [
        ({"httpGet": 1}, "livenessProbe.httpGet: expected a mapping, got 1"),
        (
            {"httpGet": {"port": "htpp"}},
            "livenessProbe.httpGet.port: no port of that container has this name,"
            " got 'htpp'",
        ),
        ({"tcpSocket": {}}, "livenessProbe.tcpSocket.port: no port of that container"),
        ({"grpc": {"port": True}}, "livenessProbe.grpc.port: no port"),
        ({"tcpSocket": {"port": "strange"}}, "tcpSocket.port: no port"),
        (
            {"tcpSocket": {"port": 70000}},
            "livenessProbe.tcpSocket: port: expected a whole number from 1 to 65535, got 70000",
        ),
        (
            {"tcpSocket": {"port": 1}, "httpGet": {"port": 2}},
            "livenessProbe: expected one handler, got httpGet and tcpSocket",
        ),
        (
            {"exec": {"command": ["true"]}, "httpGet": {"port": 2}},
            "livenessProbe: expected one handler, got httpGet and exec",
        ),
        ({"httpGet": {"port": 1, "httpHeaders": 1}}, "httpHeaders: expected a list"),
        ({"httpGet": {"port": 1, "httpHeaders": [1]}}, "httpHeaders: expected a list"),
        ({"httpGet": {"port": 1, "httpHeaders": [{}]}}, "the name of a header"),
        ({"httpGet": {"port": 1, "scheme": "FTP"}}, "expected HTTP or HTTPS"),
        ({"tcpSocket": {"port": 1, "host": 7}}, "tcpSocket: host: expected text"),
        ({"tcpSocket": {"port": 1}, "timeoutSeconds": "x"}, "expected a whole number"),
    ],
)
def test_a_probe_that_cannot_work_is_refused(probe: dict[str, Any], what: str) -> None:
    with pytest.raises(ProbeError) as error:
        rewrites(livenessProbe=probe)
    assert str(error.value).startswith("spec.containers[web].livenessProbe")
    assert what in str(error.value)


@pytest.mark.parametrize(
    ("probe", "ours"),
    [
        ({"httpGet": {"path": "/app-health/web/livez"}}, True),
        ({"httpGet": {"path": "/healthz"}}, False),
        ({"httpGet": {"path": 1}}, False),
        ({"tcpSocket": {"port": 1}}, False),
        ({}, False),
    ],
)
def test_a_probe_that_asks_the_sidecar_is_known(
    probe: dict[str, Any], *, ours: bool
) -> None:
    assert asks_us(probe) is ours
