"""Why a handshake failed: OpenSSL's error numbers as reasons and sentences."""

from __future__ import annotations

from typing import Final

from sidecar.telemetry.labels import Reason

_ALERT_OFFSET: Final = 1000  # SSL_AD_REASON_OFFSET
_NO_APPLICATION_PROTOCOL: Final = 120

# RFC 8446, 6; those of TLS 1.2 that a peer may still send are RFC 5246, 7.2.
ALERTS: Final = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    22: "record_overflow",
    40: "handshake_failure",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    100: "no_renegotiation",
    109: "missing_extension",
    110: "unsupported_extension",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    115: "unknown_psk_identity",
    116: "certificate_required",
    _NO_APPLICATION_PROTOCOL: "no_application_protocol",
}

# Alerts that judge our certificate or our right to be there, rather than our TLS.
_REFUSALS: Final = frozenset({40, 42, 43, 44, 45, 46, 48, 49, 116})

# sslerr.h
_NO_PEER_CERTIFICATE: Final = 199  # PEER_DID_NOT_RETURN_A_CERTIFICATE
_PLAINTEXT: Final = {155: "an HTTPS proxy request", 156: "an HTTP request"}


class HandshakeError(Exception):
    """A handshake failed; *reason* is for metrics, the message for the log."""

    def __init__(
        self, reason: Reason, detail: str, *, alpn_refused: bool = False
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.alerted = False
        """The peer has been sent an alert, and should be left time to read it."""
        self.alpn_refused = alpn_refused
        """The server knows none of the protocols that were offered by ALPN."""


def alert_name(code: int) -> str | None:
    """Name the alert that a peer sent, or None if *code* is no alert."""
    if code < _ALERT_OFFSET:
        return None
    number = code - _ALERT_OFFSET
    return f"{ALERTS.get(number, 'alert')} ({number})"


def classify(code: int, text: str) -> HandshakeError:
    """Turn an OpenSSL error of the SSL library into a reason and a sentence."""
    alert = alert_name(code)
    if alert is not None:
        refused = code - _ALERT_OFFSET in _REFUSALS
        reason = Reason.PEER_REFUSED if refused else Reason.PROTOCOL_ERROR
        return HandshakeError(
            reason,
            f"the peer refused us with the alert {alert}",
            alpn_refused=code - _ALERT_OFFSET == _NO_APPLICATION_PROTOCOL,
        )
    if code == _NO_PEER_CERTIFICATE:
        return HandshakeError(Reason.NO_CERTIFICATE, "the peer showed no certificate")
    if code in _PLAINTEXT:
        return HandshakeError(
            Reason.PLAINTEXT, f"the peer sent {_PLAINTEXT[code]}, not TLS"
        )
    return HandshakeError(Reason.PROTOCOL_ERROR, text)
