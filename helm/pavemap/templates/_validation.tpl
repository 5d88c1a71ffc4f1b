{{/* Combinations of values that can't work, each refused with what to do instead. */}}

{{- define "pavemap.checked" -}}
{{- include "pavemap.checkedDatabase" . }}
{{- include "pavemap.checkedStorage" . }}
{{- include "pavemap.checkedIdentity" . }}
{{- include "pavemap.checkedServing" . }}
{{- include "pavemap.checkedRoom" . }}
{{- include "pavemap.checkedRest" . }}
{{- end }}

{{- define "pavemap.checkedDatabase" -}}
{{- $database := .Values.database }}
{{- $own := not $database.existingSecret }}
{{- if and (eq $database.mode "external") $own }}
{{- fail "database.existingSecret is empty: make a Secret with the URL of your PostGIS (kubectl create secret generic pavemap-database --from-file=url=/dev/stdin) and name it, or set database.mode to cnpg or trial" }}
{{- end }}
{{- if and (eq $database.mode "cnpg") (not $own) }}
{{- fail "database.existingSecret is set, but database.mode is cnpg, which makes its own: leave the Secret out, or set database.mode=external" }}
{{- end }}
{{- if and (eq $database.mode "cnpg") (not (.Capabilities.APIVersions.Has "postgresql.cnpg.io/v1")) }}
{{- fail "database.mode is cnpg, but this cluster has no CloudNativePG: install its operator first, set database.mode=external, or, where you only render, add --api-versions postgresql.cnpg.io/v1" }}
{{- end }}
{{- if and (eq $database.mode "trial") $own (not .Values.generateSecrets) }}
{{- fail "database.mode is trial and no Secret is named: set generateSecrets=true, or make a Secret with password and url and name it in database.existingSecret" }}
{{- end }}
{{- if and (eq $database.mode "trial") $own (eq $database.key "password") }}
{{- fail "database.key is password, under which the trial's own Secret holds the password: leave it at url" }}
{{- end }}
{{- $backup := $database.cnpg.backup }}
{{- if and (ne $database.mode "cnpg") (ne $backup.method "none") }}
{{- fail "database.cnpg.backup.method is set, but database.mode is not cnpg: this chart backs up no other database; leave it at none and back yours up by its own means" }}
{{- end }}
{{- if and (eq $backup.method "plugin") (not $backup.objectStore) }}
{{- fail "database.cnpg.backup.method is plugin without database.cnpg.backup.objectStore: make an ObjectStore (barmancloud.cnpg.io) with your bucket and name it" }}
{{- end }}
{{- end }}

{{- define "pavemap.checkedStorage" -}}
{{- $storage := .Values.storage }}
{{- if and (not $storage.url) $storage.existingSecret }}
{{- fail "storage.existingSecret is set but storage.url is not: name the bucket (s3://bucket/prefix) or leave the Secret out" }}
{{- end }}
{{- if and (not $storage.url) $storage.endpoint }}
{{- fail "storage.endpoint is set but storage.url is not: name the bucket there (s3://bucket/prefix) or leave the endpoint out" }}
{{- end }}
{{- $scratch := .Values.api.scratch.size }}
{{- $unit := get (dict "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776) (regexFind "[A-Z]i$" $scratch) }}
{{- if and $storage.url (lt (mul (regexFind "^[0-9]+" $scratch) $unit) (mul 2 .Values.api.maxUploadBytes)) }}
{{- fail (printf "api.scratch.size is %s, but an upload lies there twice while it is rewritten: raise it to twice api.maxUploadBytes (%d bytes) or lower that" $scratch (int64 .Values.api.maxUploadBytes)) }}
{{- end }}
{{- $training := .Values.training }}
{{- $many := and (eq $training.backend "kubernetes") (gt (int $training.workers.replicas) 1) }}
{{- $onGpu := and (eq $training.backend "kubernetes") (gt (int $training.workers.gpus) 0) }}
{{- $single := and (not $storage.url) (eq $storage.volume.accessMode "ReadWriteOnce") }}
{{- if and $single (or $many $onGpu (gt (int .Values.api.replicas) 1) .Values.api.autoscaling.enabled .Values.serving.gpu.enabled (gt (int .Values.serving.cpu.maxReplicas) 1)) }}
{{- fail "storage.volume is ReadWriteOnce, which keeps every pod on one node: set storage.url to a bucket or storage.volume.accessMode to ReadWriteMany, or take api.replicas=1, serving.cpu.maxReplicas=1, training.workers.replicas=1 and no GPUs" }}
{{- end }}
{{- if and $onGpu (eq $training.volume.accessMode "ReadWriteOnce") (not $training.head.nodeSelector) }}
{{- fail "training.volume is ReadWriteOnce, which keeps head and worker of a training on one node, and the worker needs a GPU: set training.volume.accessMode to ReadWriteMany, or name your GPU nodes in training.head.nodeSelector and their taints in training.head.tolerations" }}
{{- end }}
{{- if and $many (eq $training.volume.accessMode "ReadWriteOnce") }}
{{- fail "training.volume is ReadWriteOnce, but training.workers.replicas is above 1: workers on other nodes could not reach their checkpoints; set training.volume.accessMode to ReadWriteMany or take one worker" }}
{{- end }}
{{- if and (eq $training.backend "ray") (eq $training.volume.accessMode "ReadWriteOnce") (or .Values.serving.gpu.enabled (gt (int .Values.serving.cpu.maxReplicas) 1)) }}
{{- fail "training.volume is ReadWriteOnce, but training.backend is ray, which mounts it on every node of the serving cluster: set training.volume.accessMode to ReadWriteMany, or take serving.cpu.maxReplicas=1 and no GPU group" }}
{{- end }}
{{- end }}

{{/* KubeRay gives the head, which scales the cluster, an account of its own making. */}}
{{- define "pavemap.checkedIdentity" -}}
{{- $storage := .Values.storage }}
{{- if and (eq .Values.training.backend "ray") .Values.serviceAccount.annotations $storage.url (not $storage.existingSecret) }}
{{- fail "training.backend is ray, whose trainings register their model from the Ray head, which can't have serviceAccount.annotations: name a Secret with keys of the bucket in storage.existingSecret, or set training.backend=kubernetes" }}
{{- end }}
{{- end }}

{{- define "pavemap.checkedServing" -}}
{{- $serving := .Values.serving }}
{{- if and $serving.auth.enabled (not $serving.auth.existingSecret) (not .Values.generateSecrets) }}
{{- fail "serving.auth.existingSecret is empty: make a Secret with Ray's token (openssl rand -hex 32 | tr -d '\\n' | kubectl create secret generic pavemap-ray --from-file=auth_token=/dev/stdin) and name it, or set generateSecrets=true for a trial" }}
{{- end }}
{{- range $group := list "cpu" "gpu" }}
{{- $spec := get $serving $group }}
{{- if gt (int $spec.minReplicas) (int $spec.maxReplicas) }}
{{- fail (printf "serving.%s.minReplicas is above maxReplicas: raise maxReplicas or lower minReplicas" $group) }}
{{- end }}
{{- end }}
{{- $detectors := $serving.detectors }}
{{- if gt (int $detectors.min) (int $detectors.max) }}
{{- fail "serving.detectors.min is above max: raise max or lower min" }}
{{- end }}
{{- if and $serving.faultTolerance.existingSecret (not $serving.faultTolerance.redisAddress) }}
{{- fail "serving.faultTolerance.existingSecret is set without redisAddress: name your Redis (redis://host:6379) or leave the Secret out" }}
{{- end }}
{{- end }}

{{/* Each actor must fit a node of its group, and all of them the group at its largest. */}}
{{- define "pavemap.checkedRoom" -}}
{{- $serving := .Values.serving }}
{{- $detectors := $serving.detectors }}
{{- $onGpu := $serving.gpu.enabled }}
{{- $own := dict "surveyor_replicas" 1 "surveyor_cpus" 1 "detector_cpus" (include "pavemap.detectorCpus" . | int) }}
{{- $args := mergeOverwrite $own (deepCopy $serving.args) }}
{{- $node := float64 $serving.cpu.rayCpus }}
{{- if and (gt (int $args.surveyor_replicas) 0) (gt (float64 $args.surveyor_cpus) $node) }}
{{- fail (printf "serving.args.surveyor_cpus: a Surveyor of %v CPUs fits no node of %v: raise serving.cpu.rayCpus or lower surveyor_cpus" $args.surveyor_cpus $node) }}
{{- end }}
{{- $books := mulf $args.surveyor_replicas $args.surveyor_cpus }}
{{- if $onGpu }}
{{- if gt (float64 $args.detector_cpus) 0.0 }}
{{- fail "serving.args.detector_cpus is set, but nodes of the GPU group offer Ray no CPUs, so that no Detector could start: leave it out" }}
{{- end }}
{{- if gt (float64 $detectors.gpus) (float64 $serving.gpu.gpus) }}
{{- fail (printf "serving.detectors.gpus: a Detector of %v GPUs fits no node of %d: raise serving.gpu.gpus or lower serving.detectors.gpus" $detectors.gpus (int $serving.gpu.gpus)) }}
{{- end }}
{{- $room := mulf (floor (addf (divf $serving.gpu.gpus $detectors.gpus) 0.000001)) $serving.gpu.maxReplicas }}
{{- if gt (float64 $detectors.max) $room }}
{{- fail (printf "serving.detectors: %v Detectors of %v GPUs don't fit into %d nodes of %d: raise serving.gpu.maxReplicas or lower serving.detectors.max" $detectors.max $detectors.gpus (int $serving.gpu.maxReplicas) (int $serving.gpu.gpus)) }}
{{- end }}
{{- else }}
{{- if gt (float64 $args.detector_cpus) $node }}
{{- fail (printf "serving.args.detector_cpus: a Detector of %v CPUs fits no node of %v: raise serving.cpu.rayCpus or lower detector_cpus" $args.detector_cpus $node) }}
{{- end }}
{{- $books = addf $books (mulf $detectors.max $args.detector_cpus) }}
{{- end }}
{{- $cpus := mul $serving.cpu.maxReplicas $serving.cpu.rayCpus }}
{{- if gt $books (float64 $cpus) }}
{{- fail (printf "serving books %v CPUs for Surveyors and Detectors, and serving.cpu has %d (maxReplicas x rayCpus): raise serving.cpu.maxReplicas or rayCpus, or lower serving.args.surveyor_replicas or serving.detectors.max" $books $cpus) }}
{{- end }}
{{- end }}

{{- define "pavemap.checkedRest" -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) }}
{{- fail "ingress.enabled is true without ingress.host: name the host under which people reach pavemap" }}
{{- end }}
{{- if and .Values.api.autoscaling.enabled (lt (int .Values.api.autoscaling.maxReplicas) (int .Values.api.replicas)) }}
{{- fail "api.autoscaling.maxReplicas is below api.replicas, which is the least: raise maxReplicas or lower replicas" }}
{{- end }}
{{- if and .Values.monitoring.enabled (not (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1")) }}
{{- fail "monitoring.enabled is true, but this cluster has no Prometheus operator: install it (kube-prometheus-stack) first, set monitoring.enabled=false, or, where you only render, add --api-versions monitoring.coreos.com/v1" }}
{{- end }}
{{- end }}
