{{- /* What the Job and the CronJob do: nothing, while the certificate is good for long. */ -}}
{{- define "sidecar.certificatesJob" -}}
{{- $name := printf "%s-webhook" (include "sidecar.name" .) -}}
backoffLimit: 6
activeDeadlineSeconds: 600
template:
  metadata:
    labels:
      {{- include "sidecar.selector" . | nindent 6 }}
      app.kubernetes.io/component: certificates
      sidecar.mesh/inject: disabled
  spec:
    restartPolicy: OnFailure
    serviceAccountName: {{ $name }}-certificates
    automountServiceAccountToken: true
    {{- with .Values.imagePullSecrets }}
    imagePullSecrets:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    securityContext:
      {{- include "sidecar.podSecurity" . | nindent 6 }}
    containers:
      - name: certificates
        image: {{ include "sidecar.image" . }}
        imagePullPolicy: {{ .Values.image.pullPolicy }}
        args:
          - certs
          - webhook
          - --namespace={{ .Release.Namespace }}
          - --service={{ $name }}
          - --secret={{ include "sidecar.certificateSecret" . }}
          - --configuration={{ $name }}
          - --days={{ .Values.webhook.certificates.job.days }}
        resources:
          requests: {cpu: 50m, memory: 64Mi}
          limits: {memory: 256Mi}
        securityContext:
          {{- include "sidecar.containerSecurity" . | nindent 10 }}
        terminationMessagePolicy: FallbackToLogsOnError
{{- end -}}
