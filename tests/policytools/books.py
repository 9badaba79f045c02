"""Rulebooks for tests, out of text and out of values."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

from sidecar.config.yaml_document import parse_document
from sidecar.policy.compile import compile_policy
from sidecar.policytools.rulebook import Rulebook, rulebook_of

if TYPE_CHECKING:
    from sidecar.policy.model import Policy

FRONTEND = "spiffe://example.org/ns/shop/sa/frontend"
CART = "spiffe://example.org/ns/shop/sa/cart"

POLICY = f"""\
default: deny
rules:
  - name: frontend-calls-api
    action: allow
    peers: ["{FRONTEND}"]
    ports: [8080]
  - name: prometheus
    action: allow
    peers: [unauthenticated, "spiffe://example.org/ns/monitoring/sa/*"]
    ports: [9090, 9091]
    sources: [10.0.0.0/8]
  - name: try-out
    action: allow
    peers: ["{CART}"]
    dry_run: true
  - name: no-batch
    action: deny
    peers: ["spiffe://example.org/ns/batch/**"]
"""

CONFIG = """\
identity:
  certificate_chain: tls.crt
  private_key: tls.key
  trust_bundles: {example.org: ca.crt}
inbound:
  listeners:
    - {listen: "0.0.0.0:8443", destination: "127.0.0.1:8080"}
    - {listen: "[::]:15006", destination: original}
  ports:
    9090: {mode: permissive}
    9091: {mode: disabled}
policy: policy.yaml
"""


def of_values(policy: Policy) -> Rulebook:
    return Rulebook("policy.yaml", compile_policy(policy))


def of_text(text: str = POLICY, source: str = "policy.yaml") -> Rulebook:
    document = parse_document(dedent(text).encode(), source)
    return rulebook_of(document, Path("absent"))


def of_files(folder: Path, config: str = CONFIG, policy: str = POLICY) -> Rulebook:
    (folder / "policy.yaml").write_text(dedent(policy))
    document = parse_document(dedent(config).encode(), "sidecar.yaml")
    return rulebook_of(document, folder)
