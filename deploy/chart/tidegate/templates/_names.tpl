{{- define "tidegate.labels" -}}
app.kubernetes.io/name: tidegate
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "tidegate.selector" -}}
app.kubernetes.io/name: tidegate
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "tidegate.image" -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{/* The labels of gateways' pods: those that are named, else the chart's own. */}}
{{- define "tidegate.gateways" -}}
{{- if .Values.autoscaler.gateways -}}
{{ .Values.autoscaler.gateways }}
{{- else if .Values.gateway.enabled -}}
app.kubernetes.io/instance={{ .Release.Name }},app.kubernetes.io/component=gateway
{{- end -}}
{{- end }}

{{- define "tidegate.securityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "tidegate.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: tidegate-admin}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: tidegate-admin}
readinessProbe:
  httpGet: {path: /readyz, port: tidegate-admin}
  periodSeconds: 2
{{- end }}

{{- define "tidegate.webhook" }}
    admissionReviewVersions: [v1]
    sideEffects: None
    reinvocationPolicy: IfNeeded
    failurePolicy: {{ .root.Values.injector.failurePolicy }}
    timeoutSeconds: 5
    clientConfig:
      service:
        name: {{ .root.Release.Name }}-injector
        namespace: {{ .root.Release.Namespace }}
        path: {{ .path }}
        port: 443
    rules:
      - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods], scope: Namespaced}
{{- end }}
