{{- /*
One mapping laid over another: (list BASE OVER) gives YAML. Mappings are merged key by
key, null takes the key away, everything else replaces. Sprig's mergeOverwrite would keep
true where false is laid over it.
*/ -}}
{{- define "sidecar.merged" -}}
{{- $merged := dict -}}
{{- range $key, $value := index . 0 -}}
{{- $_ := set $merged $key $value -}}
{{- end -}}
{{- range $key, $over := index . 1 -}}
{{- if kindIs "invalid" $over -}}
{{- $_ := unset $merged $key -}}
{{- else if and (kindIs "map" $over) (kindIs "map" (get $merged $key)) -}}
{{- $_ := set $merged $key (include "sidecar.merged" (list (get $merged $key) $over) | fromYaml) -}}
{{- else -}}
{{- $_ := set $merged $key $over -}}
{{- end -}}
{{- end -}}
{{- toYaml $merged -}}
{{- end -}}

{{- /* `identity` where nobody gives one: what the volume of the injected pods has. */ -}}
{{- define "sidecar.identity" -}}
{{- $identity := (.Values.injection | default dict).identity | default dict -}}
{{- $source := $identity.source | default "csi" -}}
{{- $usual := dict "csi" "/var/run/secrets/spiffe.io" "spire" "/spiffe-workload-api" "secret" "/run/sidecar" -}}
{{- $mount := $identity.mount | default (get $usual $source) -}}
{{- if eq $source "spire" -}}
workload_api: unix://{{ $mount }}/spire-agent.sock
{{- else -}}
certificate_chain: {{ $mount }}/tls.crt
private_key: {{ $mount }}/tls.key
trust_bundles: {{ dict .Values.mesh.trustDomain (printf "%s/ca.crt" $mount) | toJson }}
{{- end -}}
{{- end -}}

{{- /* sidecar.yaml of one namespace: (list ROOT CONFIG). */ -}}
{{- define "sidecar.config" -}}
{{- $root := index . 0 -}}
{{- $mesh := $root.Values.mesh.config | default dict -}}
{{- $own := index . 1 | default dict -}}
{{- $config := include "sidecar.merged" (list $mesh $own) | fromYaml -}}
{{- $identity := $config.identity | default dict -}}
{{- if not (or $identity.certificate_chain $identity.private_key $identity.workload_api) -}}
{{- $usual := include "sidecar.identity" $root | fromYaml -}}
{{- $_ := set $config "identity" (include "sidecar.merged" (list $usual $identity) | fromYaml) -}}
{{- end -}}
{{- $outbound := $config.outbound | default dict -}}
{{- $before := dig "outbound" "routes" list $own -}}
{{- $after := dig "outbound" "routes" list $mesh -}}
{{- if and $outbound.listeners (or $before $after) -}}
{{- $_ := set $outbound "routes" (concat ($before | default list) ($after | default list)) -}}
{{- end -}}
{{- if and (not (hasKey $config "policy")) (dig "inbound" "listeners" list $config) -}}
{{- $_ := set $config "policy" "policy.yaml" -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{- /* policy.yaml of one namespace: (list ROOT POLICY). */ -}}
{{- define "sidecar.policy" -}}
{{- $mesh := (index . 0).Values.mesh.policy | default dict -}}
{{- $own := index . 1 | default dict -}}
{{- $policy := include "sidecar.merged" (list $mesh $own) | fromYaml -}}
{{- $_ := set $policy "rules" (concat ($own.rules | default list) ($mesh.rules | default list) | default list) -}}
{{- toYaml $policy -}}
{{- end -}}

{{- /* What lies beside them, in JSON: (list ROOT FILES). Many may read ConfigMaps. */ -}}
{{- define "sidecar.files" -}}
{{- $files := dict -}}
{{- range $given := list (index . 0).Values.mesh.files (index . 1) -}}
{{- range $name, $text := $given | default dict -}}
{{- if kindIs "invalid" $text -}}
{{- $_ := unset $files $name -}}
{{- else if contains "PRIVATE KEY-----" $text -}}
{{- fail (printf "files: %s: holds a private key; a ConfigMap is no place for it" $name) -}}
{{- else -}}
{{- $_ := set $files $name $text -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $files -}}
{{- end -}}

{{- /* The ConfigMaps of all namespaces: what is installed, and what is checked before. */ -}}
{{- define "sidecar.configMaps" -}}
{{- $root := . -}}
{{- range $namespace, $settings := .Values.namespaces }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ ($root.Values.injection | default dict).config_map | default "sidecar" }}
  namespace: {{ $namespace }}
  labels:
    {{- include "sidecar.labels" $root | nindent 4 }}
data:
  sidecar.yaml: |
    {{- include "sidecar.config" (list $root ($settings | default dict).config) | nindent 4 }}
  policy.yaml: |
    {{- include "sidecar.policy" (list $root ($settings | default dict).policy) | nindent 4 }}
  {{- with include "sidecar.files" (list $root ($settings | default dict).files) | fromJson }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- /* injection.yaml: what the values say, with the image and the cluster filled in. */ -}}
{{- define "sidecar.injection" -}}
{{- $filled := dict
  "image" (include "sidecar.image" .)
  "image_pull_policy" .Values.image.pullPolicy
  "kubernetes_version" (printf "%s.%s" (trimPrefix "v" .Capabilities.KubeVersion.Major) (regexFind "^[0-9]+" .Capabilities.KubeVersion.Minor))
-}}
{{- include "sidecar.merged" (list $filled (.Values.injection | default dict)) -}}
{{- end -}}

{{- /* The ConfigMap of the webhook. */ -}}
{{- define "sidecar.injectionMap" }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "sidecar.name" . }}-injection
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "sidecar.labels" . | nindent 4 }}
data:
  injection.yaml: |
    {{- include "sidecar.injection" . | nindent 4 }}
{{- end -}}

{{- /*
Stop before anything is installed where a namespace is missing; Helm would find out halfway.
Without a cluster, as in `helm template`, nothing can be looked up, and nothing is said.
*/ -}}
{{- define "sidecar.namespacesExist" -}}
{{- if lookup "v1" "Namespace" "" "kube-system" -}}
{{- range $namespace, $_ := .Values.namespaces -}}
{{- if not (lookup "v1" "Namespace" "" $namespace) -}}
{{- fail (printf "namespaces.%s: there is no such namespace (kubectl create namespace %s)" $namespace $namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
