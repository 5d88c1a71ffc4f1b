{{/* What every pod has: who it runs as, what it is told, what it may write. */}}

{{- define "pavemap.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "pavemap.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Where programs may write: all below /tmp, the one writable folder besides the volumes. */}}
{{- define "pavemap.writable" -}}
- name: TMPDIR
  value: /tmp
- name: PAVEMAP_HOME
  value: /tmp/pavemap
- name: NUMBA_CACHE_DIR
  value: /tmp/numba
- name: MPLCONFIGDIR
  value: /tmp/matplotlib
- name: XDG_CACHE_HOME
  value: /tmp/cache
- name: PAVEMAP_MODEL_CACHE
  value: /tmp/models
{{- end }}

{{- define "pavemap.logging" -}}
- name: PAVEMAP_LOG_FORMAT
  value: {{ .Values.logging.format }}
- name: PAVEMAP_LOG_LEVEL
  value: {{ .Values.logging.level }}
{{- end }}

{{- define "pavemap.databaseEnvironment" -}}
- name: PAVEMAP_DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ include "pavemap.databaseSecret" . | quote }}
      key: {{ include "pavemap.databaseKey" . | quote }}
{{- end }}

{{/* The API's processes read the URL from the mounted Secret, so that a new password needs no new pods. */}}
{{- define "pavemap.databaseFile" -}}
- name: PAVEMAP_DATABASE_URL_FILE
  value: /run/pavemap/database/url
{{- end }}

{{- define "pavemap.databaseMount" -}}
- name: database
  mountPath: /run/pavemap/database
  readOnly: true
{{- end }}

{{- define "pavemap.databaseVolume" -}}
- name: database
  secret:
    secretName: {{ include "pavemap.databaseSecret" . | quote }}
    defaultMode: 0440
    items:
      - key: {{ include "pavemap.databaseKey" . | quote }}
        path: url
{{- end }}

{{- define "pavemap.storageEnvironment" -}}
- name: PAVEMAP_STORAGE_URL
  value: {{ .Values.storage.url | default "/storage" | quote }}
{{- with .Values.storage.endpoint }}
- name: AWS_ENDPOINT_URL
  value: {{ . | quote }}
{{- end }}
{{- with .Values.storage.region }}
- name: AWS_REGION
  value: {{ . | quote }}
{{- end }}
{{- end }}

{{- define "pavemap.storageSecret" -}}
{{- with .Values.storage.existingSecret }}
envFrom:
  - secretRef:
      name: {{ . | quote }}
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

{{/*
A ReadWriteOnce volume is on one node at a time: all who mount it have to be there. Takes root, and the Ray
cluster that a pod is of; the API is of none.
*/}}
{{- define "pavemap.oneNode" -}}
{{- $values := .root.Values -}}
{{- $trains := has (list $values.training.backend .cluster) (list (list "kubernetes" "training") (list "ray" "serving")) -}}
{{- $ofStorage := and (not $values.storage.url) (eq $values.storage.volume.accessMode "ReadWriteOnce") -}}
{{- $ofTraining := and $trains (eq $values.training.volume.accessMode "ReadWriteOnce") -}}
{{- if or $ofStorage $ofTraining }}
affinity:
  podAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels: {{- include "pavemap.raySelector" .root | nindent 12 }}
            {{- if not $ofStorage }}
            pavemap.io/cluster: {{ .cluster }}
            {{- end }}
          {{- if $ofStorage }}
          matchExpressions:
            - {key: app.kubernetes.io/component, operator: In, values: [api, ray]}
          {{- end }}
{{- end }}
{{- end }}

{{- define "pavemap.volumes" -}}
- name: tmp
  emptyDir: {}
{{- if not .Values.storage.url }}
- name: storage
  persistentVolumeClaim:
    claimName: {{ include "pavemap.storageClaim" . | quote }}
{{- end }}
{{- end }}
