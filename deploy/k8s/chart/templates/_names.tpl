{{- /*
What everything is called after. A CronJob may have 52 characters, of which its suffix
takes 21; a Service has no dot, and begins with a letter.
*/ -}}
{{- define "sidecar.name" -}}
{{- $release := .Release.Name | replace "." "-" -}}
{{- $name := contains .Chart.Name $release | ternary $release (printf "%s-%s" $release .Chart.Name) -}}
{{- if regexMatch "^[0-9]" $name -}}
{{- $name = printf "%s-%s" .Chart.Name $release -}}
{{- end -}}
{{- $name | trunc 31 | trimSuffix "-" -}}
{{- end -}}

{{- define "sidecar.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sidecar.labels" -}}
{{ include "sidecar.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: {{ .Chart.Name }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "sidecar.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- /* Where the webhook's certificate is, whoever makes it. */ -}}
{{- define "sidecar.certificateSecret" -}}
{{- $certificates := .Values.webhook.certificates -}}
{{- if eq $certificates.source "secret" -}}
{{- required "webhook.certificates.secret.name: missing: the Secret with tls.crt and tls.key" ($certificates.secret | default dict).name -}}
{{- else -}}
{{- include "sidecar.name" . }}-webhook-certificate
{{- end -}}
{{- end -}}

{{- /* What every container of the chart may do: nothing. */ -}}
{{- define "sidecar.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
privileged: false
readOnlyRootFilesystem: true
{{- end -}}

{{- define "sidecar.podSecurity" -}}
fsGroup: 1337
runAsGroup: 1337
runAsNonRoot: true
runAsUser: 1337
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- /*
Helm takes a key away where a value is null, as it is where all below it is commented out.
For most keys that is no wish; each is named, before anything is made of them.
*/ -}}
{{- define "sidecar.given" -}}
{{- $problems := list -}}
{{- range $path := list
  "image.repository" "mesh.trustDomain" "mesh.config" "check.enabled" "webhook.enabled"
  "webhook.listen" "webhook.telemetry" "webhook.failurePolicy" "webhook.certificates.source"
  "webhook.certificates.job.days" "webhook.certificates.job.schedule"
  "webhook.podDisruptionBudget.enabled" "webhook.podDisruptionBudget.minAvailable"
  "webhook.networkPolicy.enabled" "podMonitor.enabled" "prometheusRule.enabled" "alerts.configMap"
  "dashboards.enabled"
-}}
{{- $here := $.Values -}}
{{- $way := list -}}
{{- range $key := splitList "." $path -}}
{{- if kindIs "map" $here -}}
{{- $way = append $way $key -}}
{{- $here = ternary (get $here $key) nil (hasKey $here $key) -}}
{{- end -}}
{{- end -}}
{{- if kindIs "invalid" $here -}}
{{- $problems = append $problems (printf "%s: expected a value, got null (leave the key out for the default)" (join "." $way)) -}}
{{- end -}}
{{- end -}}
{{- if not $problems -}}
{{- $ports := list -}}
{{- range $key := list "listen" "telemetry" -}}
{{- $port := regexFind "[0-9]+$" (get $.Values.webhook $key) -}}
{{- if or (eq $port "0") (has $port $ports) -}}
{{- $problems = append $problems (printf "webhook.%s: expected a port of its own, got %s" $key $port) -}}
{{- end -}}
{{- $ports = append $ports $port -}}
{{- end -}}
{{- end -}}
{{- with uniq $problems -}}
{{- fail (join "; " .) -}}
{{- end -}}
{{- end -}}
