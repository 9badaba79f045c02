"""The sidecars themselves: what they have loaded, and what they cost."""

from __future__ import annotations

from typing import Final

from deploy.k8s.grafana.panel import Panel, Row
from deploy.k8s.grafana.query import (
    BUILD,
    SIDECARS,
    increase_of,
    of,
    one,
    rate_of,
    sum_by,
)

PROCESSES: Final = Row(
    "Reloads and processes",
    (
        Panel(
            "Reloads",
            "Files that were read anew; a failed reload changes nothing, and is tried again every minute.",
            one(
                sum_by(
                    "what, result",
                    increase_of("sidecar_reloads_total"),
                ),
                "{{what}} {{result}}",
            ),
            width=6,
        ),
        Panel(
            "Generations",
            "Which one serves. Pods of one deployment should be in step.",
            one(
                f"max by (namespace, pod, what) ({of('sidecar_generation')})",
                "{{pod}} {{what}}",
            ),
            width=6,
        ),
        Panel(
            "Workers that ended",
            "And were replaced; only pods with more than one worker are here.",
            one(
                sum_by(
                    "namespace, pod",
                    increase_of("sidecar_worker_restarts_total"),
                ),
                "{{namespace}}/{{pod}}",
            ),
            width=6,
        ),
        Panel(
            "Versions",
            "What is running.",
            one(
                f"count by (version, python, openssl) ({BUILD})",
                "{{version}}, Python {{python}}, {{openssl}}",
            ),
            kind="table",
            width=6,
        ),
        Panel(
            "CPU",
            "Of the sidecars alone, in seconds for a second; the ten busiest.",
            one(
                f"topk(10, {rate_of('process_cpu_seconds_total')} * {SIDECARS})",
                "{{namespace}}/{{pod}}",
            ),
        ),
        Panel(
            "Memory",
            "Resident, all workers together; the ten largest.",
            one(
                f"topk(10, {of('process_resident_memory_bytes')} * {SIDECARS})",
                "{{namespace}}/{{pod}}",
            ),
            "bytes",
        ),
        Panel(
            "Access records lost",
            "Lines that nobody read in time.",
            one(
                sum_by(
                    "namespace, pod", rate_of("sidecar_access_records_dropped_total")
                ),
                "{{namespace}}/{{pod}}",
            ),
            "cps",
        ),
    ),
)
