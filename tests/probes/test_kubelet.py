from __future__ import annotations

import h11
import pytest
from hypothesis import given, strategies as st

from sidecar.config.app_probes import HttpProbe
from sidecar.probes.kubelet import (
    Ask,
    RedirectError,
    authority_of,
    first_ask,
    headers_of,
    is_address,
    next_ask,
)

POD = "10.1.2.3"


# What net/url of Go makes of a path (url.Parse, then RequestURI), as formatURL of the
# kubelet has it.
@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/healthz", "/healthz"),
        ("", "/"),
        ("healthz", "/healthz"),
        ("/a?b=c&d", "/a?b=c&d"),
        ("/a?", "/a?"),
        ("/a#b", "/a"),
        ("/a%2Fb", "/a%2Fb"),
        ("/a b", "/a%20b"),
        ("/a b%2Fc", "/a%20b/c"),
        ("/größe", "/gr%C3%B6%C3%9Fe"),
        ("/%zz?a", "/%25zz%3Fa"),
        ("/a?%zz", "/a?%zz"),
        ("/a?b c\u00e9", "/a?b%20c%C3%A9"),
        ("/a\nb?c", "/a%0Ab%3Fc"),
        ("http://elsewhere:1/a?b", "/a?b"),
        ("//elsewhere/a", "/a"),
    ],
)
def test_a_path_is_asked_for_as_the_kubelet_does(path: str, target: str) -> None:
    assert first_ask(HttpProbe(80, path), POD).target == target


@given(path=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_path_makes_a_target_that_can_be_sent(path: str) -> None:
    target = first_ask(HttpProbe(80, path), POD).target
    h11.Request(method="GET", target=target, headers=[("Host", "a")])
    assert target.startswith("/")


def test_the_pod_is_asked_unless_a_host_is_named() -> None:
    assert first_ask(HttpProbe(80), POD) == Ask(False, POD, 80, "/")
    named = first_ask(HttpProbe(80, scheme="HTTPS", host="db"), POD)
    assert named == Ask(True, "db", 80, "/")


def test_the_host_header_is_the_address_with_its_port_unless_named() -> None:
    assert first_ask(HttpProbe(80), POD).authority == "10.1.2.3:80"
    headers = (("host", "shop.example"),)
    assert first_ask(HttpProbe(80, headers=headers), POD).authority == "shop.example"
    assert authority_of("fe80::1%eth0", 1) == "[fe80::1]:1"


def test_only_a_name_is_a_server_name() -> None:
    assert Ask(True, "db", 1, "/").server_name == "db"
    assert Ask(True, "::1", 1, "/").server_name is None
    assert is_address("10.0.0.1")


def test_the_headers_are_those_of_the_kubelet() -> None:
    assert headers_of(HttpProbe(80), "kube-probe/1.35") == [
        ("User-Agent", "kube-probe/1.35"),
        ("Accept", "*/*"),
    ]


def test_whoever_else_asks_does_not_get_to_say_so() -> None:
    assert headers_of(HttpProbe(80), "curl/8")[0] == ("User-Agent", "kube-probe")


def test_headers_of_the_probe_come_before_those_of_the_kubelet() -> None:
    action = HttpProbe(
        80,
        headers=(
            ("X-A", "1"),
            ("user-agent", "mine"),
            ("ACCEPT", ""),
            ("X-A", "2"),
            ("Content-Length", "7"),
            ("Connection", "keep-alive"),
            ("Host", "shop"),
        ),
    )
    assert headers_of(action, "kube-probe/1.35") == [
        ("User-Agent", "mine"),
        ("X-A", "1"),
        ("X-A", "2"),
    ]


ASKED = Ask(False, POD, 8080, "/live?x", "shop")


@pytest.mark.parametrize(
    ("location", "following"),
    [
        ("/ready", Ask(False, POD, 8080, "/ready", "shop")),
        ("ready?y", Ask(False, POD, 8080, "/ready?y", "shop")),
        ("//10.1.2.3:9/a", Ask(False, POD, 9, "/a", "shop")),
        ("http://10.1.2.3/a", Ask(False, POD, 80, "/a")),
        ("https://10.1.2.3/a", Ask(True, POD, 443, "/a")),
        ("https://10.1.2.3:8443", Ask(True, POD, 8443, "/")),
        ("https://shop.example/a", None),
        ("http://127.0.0.1:8080/a", None),
        ("", None),
    ],
)
def test_a_redirect_within_the_host_is_followed(
    location: str, following: Ask | None
) -> None:
    assert next_ask(ASKED, 302, location) == following


def test_a_redirect_within_an_ipv6_host_is_followed() -> None:
    before = Ask(False, "fd00::1", 80, "/")
    after = next_ask(before, 308, "https://[fd00::1]:444/a")
    assert after == Ask(True, "fd00::1", 444, "/a")


@pytest.mark.parametrize("status", [200, 300, 304, 404])
def test_what_is_no_redirect_is_the_answer(status: int) -> None:
    assert next_ask(ASKED, status, "/ready") is None


@pytest.mark.parametrize(
    "location",
    ["http://[", "ftp://10.1.2.3/", "http://:80/", "http://a:99999/", "http://a:0/"],
)
def test_a_redirect_to_nowhere_is_an_error(location: str) -> None:
    with pytest.raises(RedirectError):
        next_ask(ASKED, 302, location)


@given(
    location=st.text(max_size=30) | st.text(max_size=9).map("http://10.1.2.3".__add__)
)
def test_any_location_is_followed_or_refused(location: str) -> None:
    try:
        following = next_ask(ASKED, 302, location)
    except RedirectError:
        return
    if following is not None:
        assert following.host == POD
        h11.Request(method="GET", target=following.target, headers=[("Host", "a")])
