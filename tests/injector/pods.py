"""Pods of the shapes that people have, and what they are injected with."""

from __future__ import annotations

from typing import Any

import yaml
from attrs import evolve

from sidecar.config.model import LogLevel
from sidecar.injector.model import (
    IdentitySource,
    IdentityVolume,
    InjectionContext,
    InjectionSettings,
    KubernetesVersion,
    NativeSidecar,
    PullPolicy,
    RedirectSettings,
    Resources,
)

SETTINGS = InjectionSettings("registry.example.org/sidecar:0.1.0")
NATIVE = evolve(SETTINGS, native_sidecar=NativeSidecar.ALWAYS)
FULL = InjectionSettings(
    "registry.example.org/sidecar:0.1.0",
    image_pull_policy=PullPolicy.IF_NOT_PRESENT,
    image_pull_secrets=("mesh-pull", "web-pull"),
    init_image="registry.example.org/sidecar-init:0.1.0",
    kubernetes_version=KubernetesVersion(1, 30),
    config_map="mesh",
    identity=IdentityVolume(IdentitySource.SECRET),
    resources=Resources("100m", "100Mi", "2", "1Gi"),
    redirect=RedirectSettings(options={"exclude_outbound_ports": "53"}),
    log_level=LogLevel.WARNING,
)
SPIRE = evolve(
    SETTINGS,
    identity=IdentityVolume(IdentitySource.SPIRE),
    redirect=RedirectSettings(enabled=False),
    hold_application=False,
    prometheus_annotations=False,
)
CONTEXT = InjectionContext("shop", enabled=True)

_PODS = """
smallest:
  spec: {containers: [{name: web, image: web}]}
probes:
  metadata: {labels: {app: web}, annotations: {team: shop}}
  spec:
    initContainers:
      - {name: migrate, image: web, command: [migrate]}
      - name: cache
        image: redis
        restartPolicy: Always
        ports: [{name: redis, containerPort: 6379}]
        startupProbe: {tcpSocket: {port: redis}}
    containers:
      - name: web
        image: web
        ports: [{name: http, containerPort: 8080}, {name: grpc, containerPort: 9000}]
        livenessProbe:
          httpGet: {path: /healthz, port: http}
          initialDelaySeconds: 5
          timeoutSeconds: 3
        readinessProbe: {grpc: {port: 9000, service: web}, periodSeconds: 2}
        startupProbe: {tcpSocket: {port: http}, failureThreshold: 30}
        lifecycle:
          preStop: {httpGet: {path: /stop, port: 8080, httpHeaders: [{name: X, value: y}]}}
      - name: worker
        image: worker
        livenessProbe: {exec: {command: ["true"]}}
        lifecycle: {postStart: {exec: {command: ["true"]}}}
annotated:
  metadata:
    labels: {sidecar.mesh/inject: "true"}
    annotations:
      prometheus.io/scrape: "true"
      prometheus.io/port: "9100"
      sidecar.mesh/config: web-sidecar
      sidecar.mesh/cpu-request: 200m
      sidecar.mesh/memory-limit: 1Gi
      sidecar.mesh/log-level: debug
      sidecar.mesh/exclude-inbound-ports: "9100"
      sidecar.mesh/exclude-outbound-cidrs: 169.254.169.254/32
      sidecar.mesh/native-sidecar: enabled
      sidecar.mesh/rewrite-probes: disabled
  spec:
    serviceAccountName: web
    imagePullSecrets: [{name: web-pull}]
    securityContext: {runAsUser: 1000, runAsNonRoot: true, fsGroup: 2000}
    volumes: [{name: data, emptyDir: {}}]
    containers:
      - name: web
        image: web
        ports: [{containerPort: 8080}]
        livenessProbe: {httpGet: {path: /, port: 8080}}
        volumeMounts: [{name: data, mountPath: /data}]
job:
  spec:
    restartPolicy: Never
    containers: [{name: work, image: work}]
tproxy:
  metadata: {annotations: {sidecar.mesh/inbound-mode: tproxy}}
  spec:
    securityContext: {runAsNonRoot: true}
    containers: [{name: web, image: web, securityContext: {runAsUser: 1000}}]
empty:
  metadata: {labels: null, annotations: {}}
  spec: {volumes: [], initContainers: null, containers: [{name: web, image: web}]}
"""
PODS: dict[str, dict[str, Any]] = yaml.safe_load(_PODS)

CASES: dict[str, tuple[dict[str, Any], InjectionSettings]] = {
    "smallest": (PODS["smallest"], SETTINGS),
    "smallest-native": (PODS["smallest"], NATIVE),
    "smallest-spire": (PODS["smallest"], SPIRE),
    "probes": (PODS["probes"], SETTINGS),
    "probes-native": (PODS["probes"], NATIVE),
    "annotated": (PODS["annotated"], SETTINGS),
    "annotated-full": (PODS["annotated"], FULL),
    "job": (PODS["job"], SETTINGS),
    "job-native": (PODS["job"], FULL),
    "empty": (PODS["empty"], SETTINGS),
    "tproxy-native": (PODS["tproxy"], NATIVE),
}
