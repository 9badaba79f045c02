"""How the demo looks on a terminal."""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from prometheus_client.parser import text_string_to_metric_families
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sidecar.demo.stage import API, BATCH, FRONTEND, STRANGER, TRUST_DOMAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sidecar.demo.command import Act
    from sidecar.demo.stage import Stage

_OUT: Final = Console(highlight=False)
_SHOWN_METRICS: Final = (
    "sidecar_handshakes_total",
    "sidecar_policy_decisions_total",
    "sidecar_peer_connections_total",
    "sidecar_connections_total",
)
_WHO: Final = {
    "frontend": FRONTEND,
    "batch": BATCH,
    "stranger": STRANGER,
    "anybody": "no identity",
}


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Show what is being done, on a terminal; nothing where output is piped."""
    with _OUT.status("") as status:
        yield lambda text: status.update(f"{text} ...")


def report(scene: Stage, acts: list[Act]) -> None:
    """Show the calls and the metrics that they left."""
    _OUT.print()
    _OUT.print(
        Text.assemble(
            ("frontend ", "bold"),
            "→ its sidecar ",
            ("═ mTLS ═▶", "green"),
            " sidecar of the ",
            ("api", "bold"),
            " → the api, plain HTTP on loopback",
        )
    )
    _OUT.print(_calls(acts))
    _OUT.print(_metrics(scene))


def _calls(acts: list[Act]) -> Table:
    table = Table(
        title="Four calls to the api, and what came of them",
        caption=f"policy: only {FRONTEND} may call; the default is deny",
        box=box.ROUNDED,
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("who calls", overflow="fold", ratio=1)
    table.add_column("what the caller saw", overflow="fold", ratio=1)
    table.add_column(
        "why: the access record of the api's sidecar", overflow="fold", ratio=1
    )
    for act in acts:
        color = "green" if act.seen.answered else "red"
        mark = "✔" if act.seen.answered else "✘"
        who = Text.assemble(
            (act.caller, "bold"), "\n", (_WHO[act.caller], "cyan"), "\n", act.how
        )
        table.add_row(who, Text(f"{mark} {act.seen.what}", style=color), _why(act))
        table.add_section()
    return table


def _why(act: Act) -> Text:
    record = act.record
    text = Text(f"{record['outcome']}", style="bold")
    if record["reason"] != "ok":
        text.append(f", {record['reason']}")
    if "rule" in record:
        text.append(f"\nrule {record['rule']}")
    if "detail" in record:
        text.append(f"\n{record['detail']}")
    if "tls_version" in record:
        text.append(f"\n{record['tls_version']}, {record['group']}", style="dim")
    return text


def _metrics(scene: Stage) -> Table:
    table = Table(
        title="What Prometheus sees of it: the api's sidecar, inbound, all but zeros",
        box=box.SIMPLE,
        title_justify="left",
        show_header=False,
    )
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(justify="right")
    _, page = scene.api.get("/metrics")
    shown = None
    for name, labels, value in _samples(page):
        table.add_row(Text("" if name == shown else name), Text(labels), f"{value:g}")
        shown = name
    return table


def _samples(page: str) -> Iterator[tuple[str, str, float]]:
    for family in text_string_to_metric_families(page):
        for name, labels, value, *_ in family.samples:
            if name in _SHOWN_METRICS and value:
                words = [f'{k}="{v}"' for k, v in labels.items() if k != "direction"]
                yield name, ", ".join(words), value


def invitation(scene: Stage) -> None:
    """Say how to try it by hand."""
    folder, api = scene.folder, scene.api
    door = f"https://localhost:{api.data_port}/orders"
    trust = ("--cacert", folder / f"{TRUST_DOMAIN}.crt")

    def call(name: str) -> tuple[object, ...]:
        certificate, key = scene.credentials(name)
        return "curl", *trust, "--cert", certificate, "--key", key, door

    plain = f"http://127.0.0.1:{scene.frontend.data_port}/orders"
    metrics = f"http://127.0.0.1:{api.telemetry_port}/metrics"
    lines: tuple[tuple[str, tuple[object, ...]], ...] = (
        ("as the frontend, through its sidecar, in plain HTTP", ("curl", plain)),
        ("as the frontend, speaking mTLS itself", call("frontend")),
        ("as batch, which no rule allows", call("batch")),
        ("as a stranger of another trust domain", call("stranger")),
        ("with no certificate", ("curl", *trust, door)),
        (f"what the sidecar of {API} counted", ("curl", metrics)),
        ("its access records", ("tail", "-f", api.records)),
        (
            "its configuration and policy",
            ("cat", api.configuration, folder / "policy.yaml"),
        ),
    )
    _OUT.print("It goes on running. Try, in another terminal:\n")
    for what, words in lines:
        _OUT.print(Text(f"# {what}", style="dim"))
        print(f"{shlex.join(map(str, words))}\n")  # not wrapped: it is to be copied
    _OUT.print("Ctrl-C ends it and removes all of it.")
