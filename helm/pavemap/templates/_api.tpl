{{/* How the API is started, and what it is told. */}}

{{- define "pavemap.apiCommand" -}}
- python
- -m
- uvicorn
- --factory
- pavemap.platform.api.main:create_app
- --host=0.0.0.0
- --port=8000
- --no-access-log
- --timeout-graceful-shutdown={{ .Values.api.drainSeconds }}
{{- end }}

{{- define "pavemap.apiEnvironment" -}}
{{- $name := include "pavemap.name" . -}}
{{- $writable := include "pavemap.writable" . -}}
{{- if .Values.storage.url }}
{{- /* Uploads are gathered below the home, which then has a volume of its own. */}}
{{- $writable = $writable | replace "value: /tmp/pavemap" "value: /scratch" }}
{{- end -}}
{{ $writable }}
- name: HOME
  value: /tmp/home
{{ include "pavemap.logging" . }}
{{ include "pavemap.databaseFile" . }}
{{ include "pavemap.storageEnvironment" . }}
- name: PAVEMAP_MAX_UPLOAD_BYTES
  value: {{ .Values.api.maxUploadBytes | int64 | quote }}
{{- if .Values.ingress.enabled }}
# Only the ingress controller reaches this port (see the NetworkPolicy), so its word on addresses counts.
- name: FORWARDED_ALLOW_IPS
  value: "*"
{{- end }}
{{- if eq .Values.training.backend "kubernetes" }}
- name: PAVEMAP_JOB_BACKEND
  value: kubernetes
- name: PAVEMAP_KUBERNETES_NAMESPACE
  value: {{ .Release.Namespace | quote }}
- name: PAVEMAP_RAYJOB_TEMPLATE
  value: /etc/pavemap/rayjob.yaml
{{- else if eq .Values.training.backend "ray" }}
- name: PAVEMAP_JOB_BACKEND
  value: ray
- name: PAVEMAP_RAY_JOBS_URL
  value: http://{{ $name }}-head-svc:8265
{{- if .Values.serving.auth.enabled }}
- name: RAY_AUTH_MODE
  value: token
- name: RAY_AUTH_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ include "pavemap.tokenSecret" . | quote }}
      key: auth_token
{{- end }}
{{- end }}
{{- end }}
