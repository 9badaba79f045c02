from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import given, strategies as st

from sidecar.config.model import (
    ORIGINAL,
    AccessLevel,
    Config,
    Drain,
    Endpoint,
    Identity,
    Inbound,
    Limits,
    Listener,
    Log,
    LogLevel,
    MissingCertificate,
    Mode,
    NameKind,
    Outbound,
    OutboundDefault,
    PortSettings,
    Route,
    RouteMode,
    Tls,
    UnixSocket,
)
from sidecar.introspection import config_value, live_connections
from sidecar.policy.pattern import parse_pattern
from tests.support.mesh import (
    allow,
    application,
    client,
    configuration,
    running,
    spiffe_id,
    svid,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

texts = st.text(max_size=20)
ports = st.integers(0, 65535)
seconds = st.floats(0, 1e9)
paths = st.builds(Path, texts.filter(lambda text: "\0" not in text))
endpoints = st.builds(Endpoint, st.sampled_from(["::1", "10.0.0.1", "api.svc"]), ports)
listeners = st.builds(Listener, endpoints, st.just(ORIGINAL) | endpoints)
patterns = st.sampled_from(
    [
        "spiffe://example.org/ns/*/sa/**",
        "dns:*.example.org",
        "subject:OU=web,O=Acme",
        "unauthenticated",
    ]
).map(parse_pattern)


def some(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, max_size=3).map(tuple)


networks = st.ip_addresses().map(ipaddress.ip_network)
routes = st.builds(
    Route,
    name=texts,
    to=some(networks | texts),
    ports=st.none() | st.frozensets(ports),
    mode=st.sampled_from(RouteMode),
    peers=some(patterns),
)
settings = st.builds(
    PortSettings,
    mode=st.none() | st.sampled_from(Mode),
    missing_certificate=st.sampled_from(MissingCertificate),
)
configurations = st.builds(
    Config,
    identity=st.builds(
        Identity,
        certificate_chain=st.none() | paths,
        private_key=st.none() | paths,
        trust_bundles=st.dictionaries(texts, paths, max_size=3),
        workload_api=st.none() | texts,
        accept=st.frozensets(st.sampled_from(NameKind)),
        name_bundle=st.none() | paths,
        crl=st.none() | paths,
    ),
    inbound=st.builds(
        Inbound,
        listeners=some(listeners),
        mode=st.sampled_from(Mode),
        ports=st.dictionaries(ports, settings, max_size=3),
    ),
    outbound=st.builds(
        Outbound,
        listeners=some(listeners),
        default=st.sampled_from(OutboundDefault),
        routes=some(routes),
    ),
    policy=st.none() | paths,
    admin=endpoints | st.builds(UnixSocket, paths),
    telemetry=endpoints,
    tls=st.builds(Tls, groups=some(texts)),
    limits=st.builds(Limits, connections=ports, idle_seconds=seconds),
    drain=st.builds(Drain, delay_seconds=seconds),
    workers=st.just("auto") | ports,
    log=st.builds(Log, st.sampled_from(LogLevel), st.sampled_from(AccessLevel)),
)


def leaves(value: Any) -> Iterator[object]:
    if isinstance(value, dict):
        for each in value.values():
            yield from leaves(each)
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each)
    else:
        yield value


@given(configurations)
def test_any_configuration_is_plain_json(config: Config) -> None:
    value = config_value(config)
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    assert all(
        type(each) in {str, int, float, bool, type(None)} for each in leaves(value)
    )


def test_what_is_written_as_one_text_is_shown_as_that_text() -> None:
    peers = ("spiffe://example.org/ns/*/sa/**", "dns:*.example.org")
    route = Route(
        "api",
        (ipaddress.ip_network("10.0.0.0/8"), "api.svc"),
        frozenset({443, 80}),
        peers=tuple(map(parse_pattern, peers)),
    )
    config = Config(
        Identity(
            Path("tls.crt"),
            Path("tls.key"),
            {"example.org": Path("ca.crt")},
            accept=frozenset({NameKind.SPIFFE, NameKind.DNS}),
        ),
        inbound=Inbound(
            (Listener(Endpoint("::", 15006), ORIGINAL),),
            ports={8080: PortSettings(Mode.PERMISSIVE)},
        ),
        outbound=Outbound(
            (Listener(Endpoint("127.0.0.1", 9000), Endpoint("api.svc", 443)),),
            routes=(route,),
        ),
        admin=UnixSocket(Path("/run/admin.sock")),
    )
    value = config_value(config)
    assert value["identity"] == {
        "hint": None,
        "additional": {},
        "allow_readable_key": False,
        "certificate_chain": "tls.crt",
        "private_key": "tls.key",
        "trust_bundles": {"example.org": "ca.crt"},
        "workload_api": None,
        "accept": ["dns", "spiffe"],
        "name_bundle": None,
        "crl": None,
    }
    assert value["inbound"] == {
        "listeners": [
            {"listen": "[::]:15006", "destination": "original", "transparent": False}
        ],
        "mode": "strict",
        "ports": {
            "8080": {
                "mode": "permissive",
                "missing_certificate": "alert",
                "proxy_protocol": "none",
                "identity": None,
            }
        },
    }
    assert value["outbound"] == {
        "listeners": [
            {
                "listen": "127.0.0.1:9000",
                "destination": "api.svc:443",
                "transparent": False,
            }
        ],
        "default": "deny",
        "routes": [
            {
                "name": "api",
                "to": ["10.0.0.0/8", "api.svc"],
                "ports": [80, 443],
                "identity": None,
                "mode": "mtls",
                "peers": list(peers),
            }
        ],
    }
    assert value["admin"] == "unix:/run/admin.sock"
    assert value["telemetry"] == "0.0.0.0:15020"
    assert value["drain"] == {
        "delay_seconds": 0.0,
        "deadline_seconds": 30.0,
        "revoked_seconds": 0.0,
    }


async def test_a_connection_is_shown_with_what_is_known_of_it() -> None:
    async with (
        application() as app,
        running(configuration(to=app.endpoint), allow("web")) as mesh,
    ):
        assert list(live_connections(mesh.mesh)) == []
        with await mesh.connect() as silent, await mesh.connect() as wire:
            tls = await client(wire, svid("web")).handshake()
            await tls.send(b"hello")
            assert await tls.receive() == b"hello"
            await mesh.wait_open(2)
            shown = {each["source"]: each for each in live_connections(mesh.mesh)}
            assert json.loads(json.dumps(shown)) == shown
            sources = [
                "{}:{}".format(*each.sock.getsockname()) for each in (silent, wire)
            ]
            assert all(shown[each].pop("seconds") >= 0 for each in sources)
            known = {
                "direction": "inbound",
                "source": sources[1],
                "destination": str(app.endpoint),
                "upstream": str(app.endpoint),
                "peer": spiffe_id("web"),
                "identity": spiffe_id("api"),
                "rule": "allowed",
                "generation": 1,
                "received": 5,
                "sent": 5,
            }
            assert shown[sources[1]] == known
            started = ("direction", "destination", "identity", "generation")
            assert shown[sources[0]] == {
                **{key: known[key] for key in started},
                "source": sources[0],
            }
