from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import kubernetes_validate
import pytest
from hypothesis import given, strategies as st

from sidecar.injector.document_values import DocumentError, read_value
from sidecar.injector.manifests import (
    Manifests,
    inject_manifests,
    parse_manifests,
    uninject_manifests,
)
from sidecar.injector.model import InjectionSettings, Patched, Refused, Skipped
from sidecar.injector.operations import applied
from tests.injector.authors import written
from tests.injector.odd import ODD
from tests.injector.pods import FULL, NATIVE, SETTINGS
from tests.injector.strategies import OBJECTS

EXAMPLES = sorted((Path(__file__).parent / "manifests").iterdir())
SPLICED = [path for path in EXAMPLES if path.name != "aliases.yaml"]
ALL = [SETTINGS, NATIVE, FULL]


def inject(text: str, settings: InjectionSettings = SETTINGS) -> Manifests:
    return inject_manifests(parse_manifests(text, "x.yaml"), settings)


def uninject(text: str) -> Manifests:
    return uninject_manifests(parse_manifests(text, "x.yaml"))


def outcomes(manifests: Manifests) -> dict[str, type]:
    return {str(each.workload): type(each.result) for each in manifests.reports}


@given(OBJECTS, st.integers(0, 2**32), st.sampled_from(ALL))
def test_what_was_injected_is_taken_out_again_byte_for_byte(
    value: dict[str, Any], seed: int, settings: InjectionSettings
) -> None:
    text = written(value, seed)
    done = inject(text, settings)
    (report,) = done.reports
    assert isinstance(report.result, Patched)
    assert not [note for note in report.notes if "written anew" in note]
    assert without_status(read_value(done.texts[0])) == without_status(
        applied(value, report.operations)
    )
    assert uninject(done.texts[0]).texts == (text,)


def without_status(value: Any) -> Any:
    """Leave out the status, which remembers the text of a file besides."""
    if isinstance(value, dict):
        return {
            key: without_status(each)
            for key, each in value.items()
            if key != "sidecar.mesh/status"
        }
    return [*map(without_status, value)] if isinstance(value, list) else value


@pytest.mark.parametrize("settings", ALL)
@pytest.mark.parametrize("path", SPLICED, ids=lambda path: path.name)
def test_a_file_comes_back_byte_for_byte(
    path: Path, settings: InjectionSettings
) -> None:
    text = path.read_text()
    for each in (text, text.rstrip(), text.replace("\n", "\r\n"), "\ufeff" + text):
        done = "".join(inject(each, settings).texts)
        assert "".join(uninject(done).texts) == each


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_what_comes_out_of_a_file_is_what_kubernetes_takes(path: Path) -> None:
    for settings in ALL:
        for text in inject(path.read_text(), settings).texts:
            value = read_value(text)
            for each in value.get("items", [value]):
                if each["apiVersion"].partition("/")[0] in {"v1", "apps", "batch"}:
                    for version in ("1.32", "1.34", "1.37"):
                        kubernetes_validate.validate(each, version, strict=True)


_SCRAPS = [
    "\n",
    "  ",
    "- ",
    "# c\n",
    ": ",
    "&a ",
    "*a",
    "!!str ",
    "",
    "\n",
    "'",
    '"',
    "{",
    "}",
    "[",
    "]",
    ",",
    "---\n",
    "...\n",
    "\t",
    "\r\n",
    "? ",
    "\u2028",
    "null",
    "<<: *a\n",
    "%YAML 1.1\n",
    "\\\\",
    "x: 1\n",
    "@",
    "",
    "+\n",
    ">-\n",
]


def mistyped(text: str, random: Random) -> str:
    """Give a text as somebody leaves it whose thoughts are elsewhere."""
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(text) + 1)
        match random.randrange(3):
            case 0:
                text = text[:at] + random.choice(_SCRAPS) + text[at:]
            case 1:
                text = text[:at] + text[at + random.randint(1, 6) :]
            case _:
                lines = text.split("\n")
                first, second = random.choices(range(len(lines)), k=2)
                lines[first], lines[second] = lines[second], lines[first]
                text = "\n".join(lines)
    return text


@given(st.sampled_from(EXAMPLES), st.integers(0, 2**32))
def test_whatever_was_typed_it_is_injected_as_it_reads_or_refused(
    path: Path, seed: int
) -> None:
    text = mistyped(path.read_text(), Random(seed))
    try:
        documents = parse_manifests(text, "x.yaml")
    except DocumentError:
        return
    assert "".join(each.text for each in documents) == text
    done = inject_manifests(documents, NATIVE)
    after = parse_manifests("".join(done.texts), "x.yaml")
    for old, new in zip(documents, after, strict=True):
        reports = [each for each in done.reports if each.document is old]
        steps = [step for report in reports for step in report.operations]
        assert without_status(new.value) == without_status(applied(old.value, steps))
    if not any("written anew" in note for each in done.reports for note in each.notes):
        assert "".join(uninject_manifests(after).texts) == text


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_a_file_is_injected_once(path: Path) -> None:
    once = "".join(inject(path.read_text()).texts)
    again = inject(once, NATIVE)
    assert "".join(again.texts) == once
    assert {*outcomes(again).values()} == {Skipped}


def test_documents_without_a_workload_come_out_as_they_are() -> None:
    text = (Path(__file__).parent / "manifests" / "shop.yaml").read_text()
    documents = parse_manifests(text, "x.yaml")
    assert [each.line for each in documents] == [2, 9, 20, 73]
    done = inject_manifests(documents, SETTINGS)
    same = [new == each.text for new, each in zip(done.texts, documents, strict=True)]
    assert same == [True, True, False, True]
    assert "".join(each.text for each in documents) == text


def test_only_lines_that_were_meant_have_changed() -> None:
    text = (Path(__file__).parent / "manifests" / "shop.yaml").read_text()
    done = "".join(inject(text, NATIVE).texts).splitlines()
    kept = [line for line in text.splitlines() if line not in done]
    assert [line.strip() for line in kept] == [
        "# where",
        "path: /healthz",
        "port: http       # by name",
        "httpHeaders:",
        "- name: Host",
        "value: shop.example.org",
        "livenessProbe: {tcpSocket: {port: http}, initialDelaySeconds: 3}",
    ]


def test_each_workload_is_reported() -> None:
    text = (Path(__file__).parent / "manifests" / "node.yaml").read_text()
    done = inject(text)
    assert outcomes(done) == {
        "DaemonSet monitoring/node-exporter": Skipped,
        "Pod default/outside": Skipped,
        "Rollout default/unknown": Skipped,
    }
    assert "".join(done.texts) == text


def test_a_namespace_in_the_file_counts_as_that_of_a_cluster() -> None:
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {namespace: %s}\nspec: {containers: [{name: a}]}\n"
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s, %s}\n"
    text = "---\n".join(
        [
            pod % "out",
            namespace % ("out", "labels: {sidecar.mesh/inject: disabled}"),
            pod % "odd",
            namespace % ("odd", "labels: [], annotations: {sidecar.mesh/log-level: 1}"),
            pod % "loud",
            namespace % ("loud", "annotations: {sidecar.mesh/log-level: debug}"),
        ]
    )
    done = inject(text)
    assert outcomes(done) == {
        "Pod out/(no name)": Skipped,
        "Pod odd/(no name)": Patched,
        "Pod loud/(no name)": Patched,
    }
    assert ["debug" in each for each in done.texts] == [False] * 4 + [True] * 2


def test_a_workload_without_pods_is_refused() -> None:
    done = inject("apiVersion: apps/v1\nkind: Deployment\n")
    assert outcomes(done) == {"Deployment default/(no name)": Refused}


def test_a_refusal_leaves_the_text_alone() -> None:
    text = "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: sidecar}]}\n"
    done = inject(text)
    assert outcomes(done) == {"Pod default/(no name)": Refused}
    assert done.texts == (text,)


def test_a_text_that_has_aliases_is_written_anew_and_that_is_said() -> None:
    text = (Path(__file__).parent / "manifests" / "aliases.yaml").read_text()
    done = inject(text)
    assert done.texts[0].startswith("# Both have the same template.\napiVersion: v1\n")
    for report in done.reports:
        assert report.notes[-1] == (
            "written anew, without its comments: template is an alias"
        )
    back = uninject(done.texts[0])
    assert read_value(back.texts[0]) == read_value(text)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n---\n"])
def test_a_file_without_anything_stays_without(text: str) -> None:
    done = inject(text)
    assert ("".join(done.texts), done.reports) == (text, ())


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: b\nc: [", "x.yaml, line 3: not YAML: did not find expected node content"),
        ("[" * 100_000 + "]" * 100_000, "x.yaml: nested too deeply"),
        (
            "a: b\n---\nc: !!python/name:os x\n",
            "x.yaml, document 2, that begins on line 2: line 2: not YAML: could not",
        ),
    ],
)
def test_what_is_no_manifest_is_refused_with_its_line(text: str, what: str) -> None:
    with pytest.raises(DocumentError) as error:
        parse_manifests(text, "x.yaml")
    assert str(error.value).startswith(what)


def test_every_document_that_will_not_do_is_named() -> None:
    with pytest.raises(DocumentError) as caught:
        parse_manifests("a: !x 1\n---\nb: 1\n---\nc: !y 2\n", "x.yaml")
    first, second = str(caught.value).split("\n")
    assert first.startswith("x.yaml, document 1, that begins on line 1: ")
    assert second.startswith("x.yaml, document 3, that begins on line 4: ")


@pytest.mark.parametrize("name", ODD)
def test_whatever_is_odd_about_a_file_it_comes_back(name: str) -> None:
    done = inject(ODD[name], NATIVE)
    assert Patched in outcomes(done).values()
    assert not [note for each in done.reports for note in each.notes]
    text = "".join(done.texts)
    assert text.count("sidecar-identity") >= 2
    assert "".join(uninject(text).texts) == ODD[name]


def test_a_template_of_helm_is_recognised() -> None:
    with pytest.raises(DocumentError, match="give what `helm template` prints"):
        parse_manifests("{{- if .Values.x }}\nkind: Pod\n{{- end }}\n", "x.yaml")


LATER = """\
  - name: later  # somebody's own
    image: later
    readinessProbe: {tcpSocket: {port:  90}}
"""


def test_what_was_added_to_an_injected_file_is_of_the_mesh_and_stays() -> None:
    head = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n"
    web = "  - {name: web, livenessProbe: {httpGet: {port:  80}}}\n"
    once = "".join(inject(head + web).texts)
    assert once.count("  - {name: web") == 1
    again = inject(once.replace("  - {name: web", f"{LATER}  - {{name: web"))
    assert outcomes(again) == {"Pod default/(no name)": Patched}
    (out,) = again.texts
    assert "# somebody's own" in out
    assert out.count("/app-health/") == 4
    assert uninject(out).texts == (head + LATER + web,)
    assert inject(out).texts == (out,)
