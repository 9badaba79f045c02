from __future__ import annotations

import pytest
from OpenSSL import SSL
from OpenSSL._util import ffi, lib

from sidecar.telemetry.labels import Reason
from sidecar.tls.errors import ALERTS, HandshakeError, alert_name, classify

_ERR_LIB_SSL = 20  # err.h

REFUSED = {
    40: "handshake_failure",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    48: "unknown_ca",
    49: "access_denied",
    116: "certificate_required",
}


@pytest.mark.parametrize(("number", "name"), REFUSED.items())
def test_an_alert_about_our_certificate_is_a_refusal(number: int, name: str) -> None:
    error = classify(1000 + number, "the words of OpenSSL")
    assert error.reason is Reason.PEER_REFUSED
    assert str(error) == f"the peer refused us with the alert {name} ({number})"
    assert not error.alpn_refused


@pytest.mark.parametrize("number", sorted(ALERTS.keys() - REFUSED.keys()))
def test_any_other_alert_is_a_protocol_error_that_names_it(number: int) -> None:
    error = classify(1000 + number, "")
    assert error.reason is Reason.PROTOCOL_ERROR
    assert str(error).endswith(f"{ALERTS[number]} ({number})")


def test_an_alert_that_nobody_knows_has_its_number() -> None:
    assert str(classify(1255, "")).endswith("alert (255)")
    assert classify(1255, "").reason is Reason.PROTOCOL_ERROR


def test_only_one_alert_speaks_of_alpn() -> None:
    of_alpn = [number for number in ALERTS if classify(1000 + number, "").alpn_refused]
    assert of_alpn == [120]


@pytest.mark.parametrize(
    ("code", "reason", "text"),
    [
        (199, Reason.NO_CERTIFICATE, "the peer showed no certificate"),
        (155, Reason.PLAINTEXT, "the peer sent an HTTPS proxy request, not TLS"),
        (156, Reason.PLAINTEXT, "the peer sent an HTTP request, not TLS"),
        (0, Reason.PROTOCOL_ERROR, "the words of OpenSSL"),
        (134, Reason.PROTOCOL_ERROR, "the words of OpenSSL"),
        (999, Reason.PROTOCOL_ERROR, "the words of OpenSSL"),
    ],
)
def test_errors_of_openssl_have_reasons(code: int, reason: Reason, text: str) -> None:
    error = classify(code, "the words of OpenSSL")
    assert (error.reason, str(error)) == (reason, text)
    assert not error.alpn_refused


@pytest.mark.parametrize(
    ("code", "name"),
    [(0, None), (999, None), (1000, "close_notify (0)"), (1048, "unknown_ca (48)")],
)
def test_an_alert_begins_at_1000(code: int, name: str | None) -> None:
    assert alert_name(code) == name


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (199, "peer did not return a certificate"),
        (155, "https proxy request"),
        (156, "http request"),
    ],
)
def test_openssl_still_means_that_by_the_number(code: int, words: str) -> None:
    SSL.Context(SSL.TLS_METHOD)  # the first one loads the texts
    text = lib.ERR_reason_error_string(_ERR_LIB_SSL << 23 | code)
    assert ffi.string(text).decode() == words


def test_an_error_begins_without_an_alert_of_ours() -> None:
    assert not HandshakeError(Reason.RESET, "gone").alerted
