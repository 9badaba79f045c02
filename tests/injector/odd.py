"""Manifests that are YAML, and not what most people write."""

from __future__ import annotations

from typing import Final

POD: Final = """\
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  containers:
  - name: web
    image: nginx
    ports: [{name: http, containerPort: 80}]
    livenessProbe:
      httpGet:
        path: /   # the root
        port: http
"""
DEPLOYMENT: Final = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels:
        app: web
    spec:
      containers:
        - name: web
          image: nginx
          readinessProbe: {tcpSocket: {port: 80}}
"""
_SPEC: Final = "  name: web\nspec"
_IMAGE: Final = "    image: nginx\n"


def _item(text: str) -> str:
    return "- " + text.rstrip().replace("\n", "\n  ") + "\n"


_COMMENTS: Final = (
    POD.replace(
        "  - name: web\n", "  # first\n  - # odd\n    name: web # t\n    # so\n"
    )
    .replace("spec:\n", "spec: # the spec\n\n\n")
    .replace(
        "        port: http\n",
        "        port: http\n      # the handler\n    # the probe\n  # all\n# end\n",
    )
)
_BLOCKS: Final = POD.replace(
    _IMAGE,
    f"{_IMAGE}    command: [sh, -c]\n    args:\n    - >-\n      a\n      b\n\n      c\n"
    "    - |+\n      keep\n\n",
).replace(_SPEC, "  name: >-\n    web\nspec")
_TAGGED: Final = f"%YAML 1.1\n%TAG !k! tag:k8s.io,2020:\n--- !!map\n{POD}...\n"
_JSON: Final = (
    '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec":'
    ' {"containers": [{"name": "web", "livenessProbe": {"httpGet": {"port":  80}}}]}}'
)
_FLOW: Final = """\
{apiVersion: v1, kind: Pod,
 metadata: {name: web}, # of it
 spec: {
  containers: [
   {name: web, image: x,
    livenessProbe: {httpGet: {port: 80}},
   },
  ],
 }
}
"""
_QUOTED: Final = """\
"apiVersion": "v1"
'kind': "Pod"
"metadata":
  "name": "web"
"spec":
  "containers":
    - "name": "web"
      "livenessProbe": {"tcpSocket": {"port": "80"}}
"""
_INDENTED: Final = """\
apiVersion: v1
kind: Pod
metadata:
      name: web
spec:
    containers:
            -   name: web
                livenessProbe:
                 tcpSocket:
                           port: 80
"""
_SEVERAL: Final = f"---\n---\n# nothing\n---\n{POD}---\n---\n...\n---\nnull\n---\n~\n"

ODD: Final[dict[str, str]] = {
    "CRLF": POD.replace("\n", "\r\n"),
    "CR": POD.replace("\n", "\r"),
    "a mark of the byte order": f"\ufeff{POD}",
    "such a mark, and CRLF": "\ufeff" + DEPLOYMENT.replace("\n", "\r\n"),
    "no last line end": POD.rstrip(),
    "no last line end, and CRLF": DEPLOYMENT.replace("\n", "\r\n").rstrip(),
    "an anchor elsewhere": "x: &env\n- {name: A, value: b}\n"
    + DEPLOYMENT.replace("image: nginx\n", "image: nginx\n          env: *env\n"),
    "a merged mapping": "x: &m {team: a}\n"
    + DEPLOYMENT.replace("metadata: {name", "metadata: {<<: *m, name", 1),
    "tabs in a block": POD.replace(
        _SPEC,
        "  name: web\n  annotations:\n    a: |\n      if\n      \tx\ty\n       z\nspec",
    ),
    "comments everywhere": f"# top\n---\n# before\n{_COMMENTS}",
    "flow": _FLOW,
    "flow on one line": " ".join(each.split("#")[0] for each in _FLOW.split("\n"))
    + "\n",
    "a key twice": POD.replace(_IMAGE, f"{_IMAGE}    image: other\n"),
    "a spec twice": f"{POD}spec:\n  containers: [{{name: b, image: b}}]\n",
    "empty documents": _SEVERAL,
    "a document with directives and a tag": _TAGGED,
    "a source behind the mark": f"--- # Source: a\n{POD}--- # Source: b\n{DEPLOYMENT}",
    "documents on one line": "".join(
        f"--- {{kind: Pod, apiVersion: v1, spec: {{containers: [{{name: {each}}}]}}}}\n"
        for each in "ab"
    ),
    "quotes everywhere": _QUOTED,
    "JSON on one line": _JSON,
    "JSON in a row": f"{_JSON}\n{_JSON}{_JSON}\n",
    "JSON with tabs": '{\n\t"apiVersion": "v1",\n\t"kind": "Pod",\n\t"spec": {\n'
    '\t\t"containers": [\n\t\t\t{"name": "web", "image": "x"}\n\t\t]\n\t}\n}\n',
    "a list": f"apiVersion: v1\nkind: List\nitems:\n{_item(POD)}{_item(DEPLOYMENT)}",
    "a list of lists": "kind: List\nitems:\n"
    + _item(f"kind: List\nitems:\n{_item(POD)}"),
    "blocks": _BLOCKS,
    "null and nothing": POD.replace(
        _SPEC, "  name: web\n  labels:\n  annotations: ~\nspec"
    ).replace("spec:\n", "spec:\n  initContainers:\n  volumes: []\n"),
    "letters of all kinds": POD.replace(
        _SPEC, "  name: web\n  annotations: {größe: \"日本\\u00e9\", x: '\u2028'}\nspec"
    ),
    "words that are none": POD.replace(
        _SPEC,
        "  name: web\n  annotations: {a: \"1e3\", b: '2024-01-01', c: 'yes', d: '1:30'}\nspec",
    ),
    "blanks at the ends": POD.replace("\n", "   \n"),
    "any indentation": _INDENTED,
    "a list that is not indented": DEPLOYMENT.replace("        - name", "      - name")
    .replace("          image", "        image")
    .replace("          readi", "        readi"),
    "ends of documents": f"{POD}...\n# behind the end\n---\n{DEPLOYMENT}...\n",
    "much": "kind: ConfigMap\ndata:\n"
    + "".join(f"  k{at}: |\n    {'x' * 200}\n" for at in range(3000))
    + f"---\n{DEPLOYMENT}",
}
"""By what is odd about them. Each comes back byte for byte."""
