"""Who is let in, who we are, and whom we trust."""

from __future__ import annotations

from typing import Final

from deploy.k8s.grafana.panel import Panel, Row
from deploy.k8s.grafana.query import INBOUND, LEFT, of, one, rate_of, sum_by

POLICY: Final = Row(
    "Policy",
    (
        Panel(
            "Decisions, by rule",
            "default is what no rule says. dry_run_deny: would be denied.",
            one(
                sum_by(
                    "decision, rule, direction",
                    rate_of("sidecar_policy_decisions_total"),
                )
                + " > 0",
                "{{direction}} {{decision}}: {{rule}}",
            ),
            "cps",
            stacked=True,
        ),
        Panel(
            "Top peers",
            "Connections of each since its sidecars began, by what was decided.",
            one(
                "topk(10, "
                + sum_by(
                    "peer, direction, decision", of("sidecar_peer_connections_total")
                )
                + " > 0)",
                "{{direction}} {{decision}}: {{peer}}",
            ),
            kind="table",
        ),
        Panel(
            "Denied peers",
            "Who has a good certificate, and no rule that lets it in.",
            one(
                "topk(10, "
                + sum_by(
                    "namespace, peer, direction",
                    of("sidecar_peer_connections_total", 'decision="deny"'),
                )
                + " > 0)",
                "{{namespace}} {{direction}}: {{peer}}",
            ),
            kind="table",
        ),
        Panel(
            "Plaintext, by port",
            "What permissive ports still carry, and routes of mode passthrough.",
            one(
                sum_by(
                    "direction, port",
                    rate_of("sidecar_plaintext_connections_total"),
                ),
                "{{direction}} {{port}}",
            ),
            "cps",
            stacked=True,
            width=12,
        ),
        Panel(
            "Plaintext refused",
            "Callers without TLS at strict ports.",
            one(
                sum_by(
                    "namespace, pod",
                    rate_of("sidecar_handshakes_total", INBOUND, 'reason="plaintext"'),
                ),
                "{{namespace}}/{{pod}}",
            ),
            "cps",
            width=12,
        ),
    ),
)

IDENTITY: Final = Row(
    "Identity and trust",
    (
        Panel(
            "Certificate: time left",
            "The ten that end first.",
            one(f"bottomk(10, {LEFT})", "{{namespace}}/{{pod}}"),
            "s",
        ),
        Panel(
            "Additional certificates: time left",
            "Those of identity.additional; the ten that end first.",
            one(
                "bottomk(10, "
                + of("sidecar_additional_svid_expiry_timestamp_seconds")
                + " - time())",
                "{{pod}} {{identity}}",
            ),
            "s",
        ),
        Panel(
            "Bundles: time left",
            "Until the last root of a trust domain ends, where it ends first.",
            one(
                "min by (trust_domain) ("
                + of("sidecar_bundle_expiry_timestamp_seconds")
                + " - time())",
                "{{trust_domain}}",
            ),
            "s",
        ),
    ),
)
