"""How the demo looks on a terminal."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

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
        title="What Prometheus sees of it (the api's sidecar; series that are not 0)",
        box=box.SIMPLE,
        title_justify="left",
        show_header=False,
    )
    table.add_column(overflow="fold")
    table.add_column(justify="right")
    _, page = scene.api.get("/metrics")
    for line in page.splitlines():
        series, _, value = line.rpartition(" ")
        if series.startswith(_SHOWN_METRICS) and float(value):
            table.add_row(Text(series), f"{float(value):g}")
    return table


def invitation(scene: Stage) -> None:
    """Say how to try it by hand."""
    folder = scene.folder
    door = f"https://localhost:{scene.api.data_port}/orders"
    trust = f"--cacert {folder}/{TRUST_DOMAIN}.crt"

    def shown(name: str) -> str:
        certificate, key = scene.credentials(name)
        return f"curl {trust} --cert {certificate} --key {key} {door}"

    lines = (
        (
            "as the frontend, through its sidecar, in plain HTTP",
            f"curl http://127.0.0.1:{scene.frontend.data_port}/orders",
        ),
        ("as the frontend, speaking mTLS itself", shown("frontend")),
        ("as batch, which no rule allows", shown("batch")),
        ("as a stranger of another trust domain", shown("stranger")),
        ("with no certificate", f"curl {trust} {door}"),
        (
            f"what the sidecar of {API} counted",
            f"curl http://127.0.0.1:{scene.api.telemetry_port}/metrics",
        ),
        ("its access records", f"tail -f {scene.api.records}"),
        (
            "its configuration and policy",
            f"cat {scene.api.configuration} {folder}/policy.yaml",
        ),
    )
    _OUT.print("It goes on running. Try, in another terminal:\n")
    for what, command in lines:
        _OUT.print(f"[dim]# {what}[/dim]")
        print(f"{command}\n")  # not wrapped: it is to be copied
    _OUT.print("Ctrl-C ends it and removes all of it.")
