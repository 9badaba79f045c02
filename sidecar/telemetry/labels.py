"""The closed sets that metrics, the access log and errors share.

Every value here is public: dashboards and alerts name it. Adding one is a
feature, changing one is a breaking change.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Direction(StrEnum):
    """Which way a connection runs, seen from the application."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class Reason(StrEnum):
    """Why a handshake ended as it did."""

    OK = "ok"
    NO_CERTIFICATE = "no_certificate"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    CLOCK_SKEW = "clock_skew"
    """One of those two, by so little that the clocks may be to blame."""
    UNKNOWN_TRUST_DOMAIN = "unknown_trust_domain"
    UNTRUSTED_CHAIN = "untrusted_chain"
    REVOKED = "revoked"
    NOT_AN_SVID = "not_an_svid"
    UNEXPECTED_PEER = "unexpected_peer"
    NO_IDENTITY = "no_identity"
    """We have nothing to show: our SVID has ended, or was taken from us."""
    PLAINTEXT = "plaintext"
    PROTOCOL_ERROR = "protocol_error"
    PEER_REFUSED = "peer_refused"
    RESET = "reset"
    TIMEOUT = "timeout"


# A resumed session is judged again, so it can fail for what its peer is. These are
# the failures that come before a session could be resumed, or instead of it.
NEVER_RESUMED: Final = frozenset(
    {
        Reason.NO_IDENTITY,
        Reason.NO_CERTIFICATE,
        Reason.CLOCK_SKEW,
        Reason.PLAINTEXT,
        Reason.PROTOCOL_ERROR,
        Reason.PEER_REFUSED,
        Reason.RESET,
        Reason.TIMEOUT,
    }
)


class Outcome(StrEnum):
    """How a connection ended."""

    COMPLETED = "completed"
    """Both directions ended in order."""
    RESET_BY_DOWNSTREAM = "reset_by_downstream"
    RESET_BY_UPSTREAM = "reset_by_upstream"
    TRUNCATED = "truncated"
    """A TLS peer ended its TCP stream without close_notify (RFC 8446, 6.1)."""
    TLS_ERROR = "tls_error"
    """TLS broke after the handshake: a bad record, or an alert from the peer."""
    HANDSHAKE_FAILED = "handshake_failed"
    DENIED = "denied"
    """The policy, or a route of mode deny, said no."""
    NO_ROUTE = "no_route"
    """No route names the destination and the default is deny."""
    LOOP = "loop"
    """The destination was one of our own listeners."""
    NO_DESTINATION = "no_destination"
    """The kernel knows no original destination: the connection was not redirected."""
    UPSTREAM_REFUSED = "upstream_refused"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    LIFETIME_OVER = "lifetime_over"
    """It was open for as long as a connection may be."""
    POLICY_REVOKED = "policy_revoked"
    """It was let in, and the policy, a port's mode or a route have changed since."""
    PEER_EXPIRED = "peer_expired"
    """It was let in, and the peer's certificate has expired since."""
    PEER_REVOKED = "peer_revoked"
    """It was let in, and a certificate of the peer has been revoked since."""
    PEER_UNTRUSTED = "peer_untrusted"
    """It was let in, and the peer's certificates lead to no root any more."""
    BUNDLE_WITHDRAWN = "bundle_withdrawn"
    """It was let in, and there is no bundle of the peer's trust domain any more."""
    IDENTITY_WITHDRAWN = "identity_withdrawn"
    """The Workload API has taken from us since what we showed the peer."""
    DRAINED = "drained"
    """Still open when the drain deadline passed."""
    INTERNAL_ERROR = "internal_error"
    """A bug of ours: the log has its traceback."""


class Verdict(StrEnum):
    """What the policy decided, as metrics and records name it."""

    ALLOW = "allow"
    DENY = "deny"
    AUDIT = "audit"
    """Let through, but `default: deny` would have refused it."""
    DRY_RUN_ALLOW = "dry_run_allow"
    DRY_RUN_DENY = "dry_run_deny"
