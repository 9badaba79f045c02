from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, strategies as st

from sidecar.redirect.model import Backend, Ports, Redirect
from sidecar.redirect.options import (
    BACKEND,
    LOCK_SECONDS,
    OPTIONS,
    OptionsError,
    parse_lock_seconds,
    parse_options,
)

NAMES = [each.name for each in (*OPTIONS, BACKEND, LOCK_SECONDS)]


def refused(**options: str) -> list[str]:
    with pytest.raises(OptionsError) as error:
        parse_options(options, {})
    assert str(error.value) == "\n".join(map(str, error.value.problems))
    return str(error.value).split("\n")


def test_without_any_option_all_is_as_documented() -> None:
    settings = parse_options({}, {})
    assert settings.redirect == Redirect()
    assert (settings.backend, settings.lock_seconds) == (None, 10)


def test_an_empty_text_is_the_default() -> None:
    blank = dict.fromkeys(NAMES, " ")
    assert parse_options(blank, {}) == parse_options({}, {})
    environ = {each.variable: "" for each in OPTIONS}
    assert parse_options({}, environ) == parse_options({}, {})


def test_the_environment_stands_in_for_what_is_not_given() -> None:
    environ = {
        "SIDECAR_REDIRECT_PROXY_UID": "2000",
        "SIDECAR_REDIRECT_EXCLUDE_INBOUND_PORTS": "22",
        "SIDECAR_REDIRECT_BACKEND": "legacy",
        "SIDECAR_REDIRECT_SERVICE_HOST": "10.0.0.1",  # a service of that name
    }
    settings = parse_options({"proxy_uid": "3000", "proxy_gid": None}, environ)
    assert settings.redirect.proxy_uid == 3000
    assert settings.redirect.exclude_inbound_ports == (Ports(22, 22),)
    assert settings.backend is Backend.LEGACY


def test_all_problems_are_told_at_once_and_each_at_its_place() -> None:
    environ = {"SIDECAR_REDIRECT_PROXY_UID": "0", "SIDECAR_REDIRECT_PROXY_GID": "0"}
    given = {"inbound_port": "x", "proxy_gid": "y", "health_ports": "1,0,70000"}
    with pytest.raises(OptionsError) as error:
        parse_options(given, environ)
    assert [each.where for each in error.value.problems] == [
        "--inbound-port",
        "--health-ports",
        "--health-ports",
        "SIDECAR_REDIRECT_PROXY_UID",
        "--proxy-gid",
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"inbound_port": "15001"},
            "--outbound-port: the two listeners have two ports, got 15001 twice",
        ),
        (
            {"health_ports": "15000-15005"},
            "--health-ports: the sidecar's listener 15001 is never let by,"
            " got 15000-15005",
        ),
        (
            {"exclude_inbound_ports": "15006"},
            "--exclude-inbound-ports: the sidecar's listener 15006 is never let by,"
            " got 15006",
        ),
        (
            {"include_inbound_ports": "8080", "exclude_inbound_ports": "8000-9000"},
            "--exclude-inbound-ports: 8000-9000 is all of the included 8080:"
            " leave out one of them",
        ),
        (
            {"include_outbound_ports": "80", "exclude_outbound_ports": "80"},
            "--exclude-outbound-ports: 80 is all of the included 80:"
            " leave out one of them",
        ),
        (
            {
                "include_outbound_cidrs": "10.1.0.0/16,fd00::/8",
                "exclude_outbound_cidrs": "10.0.0.0/8",
            },
            "--exclude-outbound-cidrs: 10.0.0.0/8 is all of the included 10.1.0.0/16:"
            " leave out one of them",
        ),
    ],
)
def test_what_cannot_hold_together_is_told(options: dict[str, str], said: str) -> None:
    assert refused(**options) == [said]


@pytest.mark.parametrize(
    "options",
    [
        {"include_inbound_ports": "8000-9000", "exclude_inbound_ports": "8080"},
        {
            "include_outbound_cidrs": "10.0.0.0/8",
            "exclude_outbound_cidrs": "10.1.0.0/16,::/0",
        },
        {"exclude_outbound_cidrs": "0.0.0.0/0"},
    ],
)
def test_a_part_may_be_taken_out_of_the_whole(options: dict[str, str]) -> None:
    parse_options(options, {})


def test_removing_asks_for_nothing_but_the_wait() -> None:
    environ = {"SIDECAR_REDIRECT_PROXY_UID": "0"}
    assert parse_lock_seconds({"lock_seconds": "5"}, environ) == 5
    with pytest.raises(OptionsError, match="--lock-seconds: a number from 1 to 300"):
        parse_lock_seconds({"lock_seconds": "0"}, environ)


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=20)))
def test_any_texts_are_read_or_refused(given_options: dict[str, str]) -> None:
    with contextlib.suppress(OptionsError):
        parse_options(given_options, {})


def test_a_variable_that_looks_like_ours_and_is_none_is_a_typing_error() -> None:
    environ = {
        "SIDECAR_REDIRECT_EXCLUDE_INBOUND_PORT": "22",
        "SIDECAR_REDIRECT_SOMETHING": "else",
        "SIDECAR_REDIRECT_EMPTY": " ",
        "SIDECAR_APP_PROBES": "{}",
        # What a pod is told of services that are called so.
        "SIDECAR_REDIRECT_PORT": "tcp://10.0.0.1:80",
        "SIDECAR_REDIRECT_WEB_PORT": "udp://10.0.0.1:80",
        "SIDECAR_REDIRECT_SERVICE_PORT": "80",
        "SIDECAR_REDIRECT_WEB_SERVICE_PORT_HTTP": "80",
        "SIDECAR_REDIRECT_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    with pytest.raises(OptionsError) as error:
        parse_options({}, environ)
    assert list(map(str, error.value.problems)) == [
        "SIDECAR_REDIRECT_EXCLUDE_INBOUND_PORT: unknown"
        " (did you mean 'SIDECAR_REDIRECT_EXCLUDE_INBOUND_PORTS'?)",
        "SIDECAR_REDIRECT_SOMETHING: unknown",
    ]
    assert parse_lock_seconds({}, environ) == 10
