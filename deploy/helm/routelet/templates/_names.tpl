{{- define "routelet.labels" -}}
app.kubernetes.io/name: routelet
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "routelet.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "routelet.socket" -}}
{{- if contains ":" .Values.metrics.address }}[{{ .Values.metrics.address }}]{{ else }}{{ .Values.metrics.address }}{{ end }}:{{ .Values.metrics.port }}
{{- end }}

{{- define "routelet.subject" -}}
- kind: ServiceAccount
  name: {{ .Release.Name }}
  namespace: {{ .Release.Namespace }}
{{- end }}
