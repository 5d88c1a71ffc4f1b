{{- define "pavemap.name" -}}
{{- /* KubeRay derives longer names from a RayService's: 47 characters are its limit. */ -}}
{{- $name := ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) -}}
{{- $name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "pavemap.labels" -}}
app.kubernetes.io/name: pavemap
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "pavemap.checked" -}}
{{- if not .Values.database.existingSecret }}
{{- fail "database.existingSecret is empty: make a Secret with the PostGIS URL (kubectl create secret generic pavemap-database --from-literal=url=postgresql://...) and name it" }}
{{- end }}
{{- if gt (int .Values.serving.workers.minReplicas) (int .Values.serving.workers.maxReplicas) }}
{{- fail "serving.workers.minReplicas is above maxReplicas: raise maxReplicas or lower minReplicas" }}
{{- end }}
{{- if and (not .Values.storage.url) .Values.storage.existingSecret }}
{{- fail "storage.existingSecret is set but storage.url is not: name the bucket (s3://bucket/prefix) or leave the Secret out" }}
{{- end }}
{{- end }}

{{- define "pavemap.environment" -}}
- name: PAVEMAP_DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.database.existingSecret }}
      key: {{ .Values.database.key }}
- name: PAVEMAP_STORAGE_URL
  value: {{ .Values.storage.url | default "/storage" | quote }}
- name: PAVEMAP_HOME
  value: /tmp/pavemap
{{- end }}

{{- define "pavemap.environmentFrom" -}}
{{- with .Values.storage.existingSecret }}
envFrom:
  - secretRef:
      name: {{ . }}
{{- end }}
{{- end }}

{{- define "pavemap.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- if not .Values.storage.url }}
- name: storage
  mountPath: /storage
{{- end }}
{{- end }}

{{- define "pavemap.volumes" -}}
- name: tmp
  emptyDir: {}
{{- if not .Values.storage.url }}
- name: storage
  persistentVolumeClaim:
    claimName: {{ include "pavemap.name" . }}-storage
{{- end }}
{{- end }}

{{- define "pavemap.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
fsGroup: 1000
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "pavemap.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
{{- end }}
