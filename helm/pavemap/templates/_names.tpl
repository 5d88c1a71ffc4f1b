{{/* Names, labels and images. */}}

{{/* The base of all names: DNS-1035, and 40 characters at most, since KubeRay adds to a RayService's and takes 47. */}}
{{- define "pavemap.name" -}}
{{- $given := .Values.nameOverride | default (ternary .Release.Name (printf "%s-pavemap" .Release.Name) (contains "pavemap" .Release.Name)) -}}
{{- $name := $given | replace "." "-" -}}
{{- if regexMatch "^[0-9]" $name -}}
{{- $name = printf "p-%s" $name -}}
{{- end -}}
{{- if gt (len $name) 40 -}}
{{- $name = printf "%s-%s" ($name | trunc 33 | trimSuffix "-") (sha256sum $name | trunc 6) -}}
{{- end -}}
{{- $name -}}
{{- end }}

{{- define "pavemap.labels" -}}
{{ include "pavemap.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* What stays the same from release to release, and so may stand in selectors. */}}
{{- define "pavemap.selector" -}}
app.kubernetes.io/name: pavemap
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/*
The same for pods of Ray. Their app.kubernetes.io/name is left to KubeRay: it selects by its own value where it
makes the head Service of a RayService.
*/}}
{{- define "pavemap.raySelector" -}}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* An image by digest, or by tag, or by the version of the program. Takes root and image. */}}
{{- define "pavemap.image" -}}
{{- $tag := printf ":%s" (.image.tag | default .root.Chart.AppVersion) -}}
{{- .image.repository }}{{ empty .image.digest | ternary $tag (printf "@%s" .image.digest) }}
{{- end }}

{{- define "pavemap.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The Secrets in force: those that are named, or those that the chart makes. */}}
{{- define "pavemap.databaseSecret" -}}
{{- $own := printf "%s-db-%s" (include "pavemap.name" .) (eq .Values.database.mode "cnpg" | ternary "app" "trial") -}}
{{- .Values.database.existingSecret | default $own -}}
{{- end }}

{{- define "pavemap.databaseKey" -}}
{{- eq .Values.database.mode "cnpg" | ternary "uri" .Values.database.key -}}
{{- end }}

{{- define "pavemap.tokenSecret" -}}
{{- .Values.serving.auth.existingSecret | default (printf "%s-ray-token" (include "pavemap.name" .)) -}}
{{- end }}

{{/* The claims in force. */}}
{{- define "pavemap.storageClaim" -}}
{{- .Values.storage.volume.existingClaim | default (printf "%s-storage" (include "pavemap.name" .)) -}}
{{- end }}

{{- define "pavemap.trainingClaim" -}}
{{- .Values.training.volume.existingClaim | default (printf "%s-training" (include "pavemap.name" .)) -}}
{{- end }}
