from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.config.model import (
    Config,
    Endpoint,
    Identity,
    Inbound,
    MissingCertificate,
    Mode,
    NameKind,
    PortSettings,
    ProxyProtocol,
    UnixSocket,
)


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        (Endpoint("::1", 80), "[::1]:80"),
        (Endpoint("127.0.0.1", 15000), "127.0.0.1:15000"),
        (Endpoint("api.shop.svc", 8443), "api.shop.svc:8443"),
        (UnixSocket(Path("/run/sidecar/admin.sock")), "unix:/run/sidecar/admin.sock"),
    ],
)
def test_an_endpoint_prints_as_an_operator_writes_it(
    endpoint: Endpoint | UnixSocket, text: str
) -> None:
    assert str(endpoint) == text


def test_a_port_without_settings_has_those_of_all_ports() -> None:
    inbound = Inbound(mode=Mode.PERMISSIVE)
    assert inbound.mode_of(8080) is Mode.PERMISSIVE
    assert inbound.missing_certificate(8080) is MissingCertificate.ALERT
    assert inbound.proxy_protocol(8080) is ProxyProtocol.NONE


def test_a_port_overrides_one_thing_and_inherits_the_other() -> None:
    inbound = Inbound(
        ports={
            8080: PortSettings(missing_certificate=MissingCertificate.HTTP_400),
            9090: PortSettings(mode=Mode.DISABLED),
            9091: PortSettings(proxy_protocol=ProxyProtocol.TLS),
        }
    )
    assert inbound.mode_of(8080) is Mode.STRICT
    assert inbound.missing_certificate(8080) is MissingCertificate.HTTP_400
    assert inbound.mode_of(9090) is Mode.DISABLED
    assert inbound.missing_certificate(9090) is MissingCertificate.ALERT
    assert inbound.proxy_protocol(9090) is ProxyProtocol.NONE
    assert inbound.mode_of(9091) is Mode.STRICT
    assert inbound.proxy_protocol(9091) is ProxyProtocol.TLS


def test_nothing_said_is_the_safe_thing() -> None:
    config = Config(Identity())
    assert config.identity.accept == {NameKind.SPIFFE}
    assert config.inbound.mode is Mode.STRICT
    assert str(config.outbound.default) == "deny"
    assert str(config.admin) == "127.0.0.1:15000"
    assert config.tls.minimum_version == "1.3"
