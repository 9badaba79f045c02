"""What goes through the mesh: connections and handshakes."""

from __future__ import annotations

from typing import Final

from deploy.k8s.grafana.panel import Panel, Query, Row
from deploy.k8s.grafana.query import (
    BUILD,
    DENIED,
    FAILED,
    INBOUND,
    SHARE,
    of,
    one,
    rate_of,
    stat,
    sum_by,
)

NOW: Final = Row(
    "Now",
    (
        stat("Sidecars", f"count({BUILD})", "none", "That are scraped.", None),
        stat(
            "Open connections",
            f"sum({of('sidecar_connections_open')})",
            "short",
            "Both directions.",
        ),
        stat(
            "Handshakes that fail",
            f"sum({rate_of('sidecar_handshakes_total', FAILED)})"
            f" / sum({rate_of('sidecar_handshakes_total')})",
            "percentunit",
            "Of all handshakes.",
            0.05,
        ),
        stat(
            "Denied",
            f"sum({rate_of('sidecar_connections_total', DENIED)})",
            "cps",
            "Connections that the policy, or a route of mode deny, refused.",
            0.1,
        ),
        stat(
            "Plaintext let in",
            f"sum({rate_of('sidecar_plaintext_connections_total', INBOUND)})",
            "cps",
            "Connections without TLS to ports that permit it. Zero in a strict mesh.",
            0.001,
        ),
        Panel(
            "Least life left",
            "Of a certificate, as a share of its life. In the last tenth /readyz fails.",
            one(f"min({SHARE})"),
            "percentunit",
            "stat",
            alarm=0.25,
            low_is_bad=True,
            width=4,
        ),
    ),
)

CONNECTIONS: Final = Row(
    "Connections",
    (
        Panel(
            "Open",
            "Connections that are open now.",
            one(sum_by("direction", of("sidecar_connections_open")), "{{direction}}"),
            width=6,
        ),
        Panel(
            "Ended, by outcome",
            "completed is an orderly end; every other outcome is in the access records.",
            one(
                sum_by("direction, outcome", rate_of("sidecar_connections_total"))
                + " > 0",
                "{{direction}} {{outcome}}",
            ),
            "cps",
            stacked=True,
            width=6,
        ),
        Panel(
            "Bytes",
            "Payload. Received is from the side that opened the connection.",
            (
                Query(
                    sum_by("direction", rate_of("sidecar_received_bytes_total")),
                    "{{direction}} received",
                ),
                Query(
                    sum_by("direction", rate_of("sidecar_sent_bytes_total")),
                    "{{direction}} sent",
                ),
            ),
            "Bps",
            width=6,
        ),
        Panel(
            "Room for connections",
            "Open ones, as a share of limits.connections; the ten fullest.",
            one(
                "topk(10, sum without (direction) ("
                + of("sidecar_connections_open")
                + ") / "
                + of("sidecar_connections_limit")
                + ")",
                "{{namespace}}/{{pod}}",
            ),
            "percentunit",
            width=6,
        ),
    ),
)

HANDSHAKES: Final = Row(
    "Handshakes",
    (
        Panel(
            "Handshakes, by result",
            "Resumed ones skip the signatures, not the judgement.",
            one(
                sum_by(
                    "direction, result, resumed", rate_of("sidecar_handshakes_total")
                )
                + " > 0",
                "{{direction}} {{result}}, resumed {{resumed}}",
            ),
            "cps",
            stacked=True,
        ),
        Panel(
            "Failures, by reason",
            "The runbook in deploy/k8s/alerts has a table of reasons.",
            one(
                sum_by("direction, reason", rate_of("sidecar_handshakes_total", FAILED))
                + " > 0",
                "{{direction}} {{reason}}",
            ),
            "cps",
            stacked=True,
        ),
        Panel(
            "How long they take",
            "Handshakes that succeed; quantiles over all pods.",
            tuple(
                Query(
                    f"histogram_quantile({quantile}, "
                    + sum_by(
                        "direction, le",
                        rate_of("sidecar_handshake_seconds_bucket", 'result="ok"'),
                    )
                    + ")",
                    f"{{{{direction}}}} p{round(quantile * 100)}",
                )
                for quantile in (0.5, 0.95, 0.99)
            ),
            "s",
        ),
    ),
)
