from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from sidecar.config.app_probes import (
    AppProbe,
    AppProbesError,
    GrpcProbe,
    HttpProbe,
    TcpProbe,
    parse_app_probes,
    render_app_probes,
)

PORTS = st.integers(1, 65535)
HOSTS = st.none() | st.from_regex(r"[0-9A-Za-z._:-]{1,20}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"]))
HEADERS = st.tuples(st.from_regex(r"[A-Za-z-]{1,9}", fullmatch=True), TEXTS)
HANDLERS = st.one_of(
    st.builds(
        HttpProbe,
        PORTS,
        st.from_regex(r"/[\x21-\x7e]*", fullmatch=True),
        st.sampled_from(["HTTP", "HTTPS"]),
        HOSTS,
        st.lists(HEADERS, max_size=3).map(tuple),
    ),
    st.builds(TcpProbe, PORTS, HOSTS),
    st.builds(GrpcProbe, PORTS, TEXTS),
)
PROBES = st.dictionaries(
    st.from_regex(r"/app-health/[a-z0-9-]{1,9}/(livez|readyz)", fullmatch=True),
    st.builds(AppProbe, HANDLERS, st.integers(1, 600)),
    max_size=4,
)


@given(PROBES)
def test_what_is_written_is_read(probes: dict[str, AppProbe]) -> None:
    assert parse_app_probes(render_app_probes(probes)) == probes


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_app_probes(text)
    except AppProbesError:
        return
    assert text == "" or isinstance(json.loads(text), dict)


@given(PROBES.filter(bool), st.data())
def test_no_part_of_it_is_taken_for_the_whole(
    probes: dict[str, AppProbe], data: st.DataObject
) -> None:
    text = render_app_probes(probes)
    with pytest.raises(AppProbesError):
        parse_app_probes(text[: data.draw(st.integers(1, len(text) - 1))])


def test_no_text_names_no_probe() -> None:
    assert parse_app_probes("") == {}


def test_what_kubernetes_leaves_out_has_its_defaults() -> None:
    text = '{"/app-health/web/livez":{"httpGet":{"port":80}}}'
    assert parse_app_probes(text) == {"/app-health/web/livez": AppProbe(HttpProbe(80))}


ASKED = "/app-health/web/livez"


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ([], "the whole: expected an object"),
        ({"/healthz": {}}, "expected /app-health/CONTAINER/PROBE as a path"),
        ({ASKED: 1}, f"{ASKED}: expected an object"),
        ({ASKED: {}}, "expected one of httpGet, tcpSocket, grpc"),
        ({ASKED: {"exec": {}}}, "expected one of httpGet, tcpSocket, grpc"),
        ({ASKED: {"grpc": {}, "httpGet": {}}}, "expected one of httpGet"),
        ({ASKED: {"grpc": []}}, f"{ASKED}: grpc: expected an object"),
        ({ASKED: {"grpc": {}}}, "grpc: port: expected a whole number from 1 to 65535"),
        ({ASKED: {"grpc": {"port": 1, "servce": "x"}}}, "unknown key 'servce'"),
        ({ASKED: {"grpc": {"port": 1, "service": "\n"}}}, "service: expected text of"),
        ({ASKED: {"tcpSocket": {"port": True}}}, "port: expected a whole number"),
        ({ASKED: {"tcpSocket": {"port": "1"}}}, "port: expected a whole number"),
        ({ASKED: {"tcpSocket": {"port": 65536}}}, "port: expected a whole number"),
        ({ASKED: {"tcpSocket": {"port": 1, "host": ""}}}, "host: expected text of"),
        ({ASKED: {"httpGet": {"port": 1, "path": "x"}}}, "path: expected text of"),
        ({ASKED: {"httpGet": {"port": 1, "path": "/a b"}}}, "path: expected text"),
        ({ASKED: {"httpGet": {"port": 1, "scheme": "http"}}}, "HTTP or HTTPS"),
        ({ASKED: {"httpGet": {"port": 1, "httpHeaders": {}}}}, "list of httpHeaders"),
        (
            {ASKED: {"httpGet": {"port": 1, "httpHeaders": [{"name": "a b"}]}}},
            "the name of a header: expected text",
        ),
        (
            {
                ASKED: {
                    "httpGet": {
                        "port": 1,
                        "httpHeaders": [{"name": "a", "value": "x\r\nb: c"}],
                    }
                }
            },
            "the value of a header: expected text",
        ),
        (
            {ASKED: {"tcpSocket": {"port": 1}, "timeoutSeconds": 0}},
            "timeoutSeconds: expected a whole number",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(value: Any, what: str) -> None:
    with pytest.raises(AppProbesError) as error:
        parse_app_probes(json.dumps(value))
    assert what in str(error.value)


def test_every_probe_that_is_wrong_is_named() -> None:
    other = "/app-health/web/readyz"
    with pytest.raises(AppProbesError) as error:
        parse_app_probes(json.dumps({ASKED: {}, other: 1, "/": {}}))
    assert [each.split(":")[0] for each in error.value.problems[:2]] == [ASKED, other]
    assert len(error.value.problems) == 3


@pytest.mark.parametrize("value", ["\x00", "\x1f", "\x7f", "\ud800"])
def test_a_header_has_nothing_that_cannot_be_sent(value: str) -> None:
    headers = [{"name": "X-A", "value": value}]
    with pytest.raises(AppProbesError, match="the value of a header"):
        parse_app_probes(
            json.dumps({ASKED: {"httpGet": {"port": 1, "httpHeaders": headers}}})
        )


def test_a_text_that_no_process_can_have_is_refused() -> None:
    with pytest.raises(AppProbesError, match="larger than 131000 characters"):
        parse_app_probes(" " * 131_001)


def test_nesting_without_end_is_no_json() -> None:
    with pytest.raises(AppProbesError, match="not JSON"):
        parse_app_probes("[" * 100_000)
