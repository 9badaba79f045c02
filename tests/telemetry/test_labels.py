from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from sidecar.telemetry.labels import Direction, Outcome, Reason, Verdict

if TYPE_CHECKING:
    from enum import StrEnum

# Dashboards and alerts name these: adding one is a feature, changing one breaks them.
PUBLIC: dict[type[StrEnum], set[str]] = {
    Direction: {"inbound", "outbound"},
    Reason: {
        "ok",
        "no_certificate",
        "expired",
        "not_yet_valid",
        "clock_skew",
        "unknown_trust_domain",
        "untrusted_chain",
        "revoked",
        "not_an_svid",
        "unexpected_peer",
        "no_identity",
        "plaintext",
        "protocol_error",
        "peer_refused",
        "reset",
        "timeout",
    },
    Outcome: {
        "completed",
        "reset_by_downstream",
        "reset_by_upstream",
        "truncated",
        "tls_error",
        "handshake_failed",
        "denied",
        "no_route",
        "loop",
        "no_destination",
        "upstream_refused",
        "upstream_unreachable",
        "upstream_timeout",
        "idle_timeout",
        "lifetime_over",
        "policy_revoked",
        "peer_expired",
        "peer_revoked",
        "peer_untrusted",
        "bundle_withdrawn",
        "identity_withdrawn",
        "drained",
        "internal_error",
    },
    Verdict: {"allow", "deny", "audit", "dry_run_allow", "dry_run_deny"},
}


@pytest.mark.parametrize("labels", PUBLIC, ids=lambda labels: labels.__name__)
def test_no_label_that_was_ever_public_has_changed(labels: type[StrEnum]) -> None:
    assert {str(each) for each in labels} == PUBLIC[labels]


@pytest.mark.parametrize("labels", PUBLIC, ids=lambda labels: labels.__name__)
def test_labels_are_what_a_query_can_be_written_with(labels: type[StrEnum]) -> None:
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", each) for each in labels)
