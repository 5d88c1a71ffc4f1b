{{/*
Ray clusters: the one that serves, and one for each training. Nothing in here may change with the chart's version
or from release to release (no helm.sh/chart label, no checksum): KubeRay would build a second cluster each time.
*/}}

{{/*
The pod template of a head or of a group of workers.
Takes root, cluster (serving, training), role (head, worker), image, spec (resources, nodeSelector, tolerations),
and gpus with resourceName.
*/}}
{{- define "pavemap.rayPod" -}}
{{- $root := .root -}}
{{- /* Trainings run in clusters of their own, or as jobs whose driver is on the head of the serving one. */}}
{{- $trains := or (eq .cluster "training") (eq $root.Values.training.backend "ray") -}}
{{- $head := ne .role "worker" -}}
{{- $resources := deepCopy .spec.resources -}}
{{- if .gpus }}
{{- $_ := set $resources "limits" (merge (dict .resourceName .gpus) ($resources.limits | default dict)) }}
{{- $_ := set $resources "requests" (merge (dict .resourceName .gpus) ($resources.requests | default dict)) }}
{{- end -}}
metadata:
  labels:
    {{- include "pavemap.raySelector" $root | nindent 4 }}
    app.kubernetes.io/component: ray
    pavemap.io/cluster: {{ .cluster }}
  annotations:
    pavemap.io/generation: {{ $root.Values.serving.generation | quote }}
spec:
  {{- with include "pavemap.pullSecrets" $root | trim }}{{ nindent 2 . }}{{- end }}
  {{- if ne .role "autoscaled-head" }}
  serviceAccountName: {{ include "pavemap.name" $root }}-ray
  automountServiceAccountToken: false
  {{- end }}
  securityContext: {{- include "pavemap.podSecurity" $root | nindent 4 }}
  restartPolicy: Never
  # A Surveyor finishes its cells, or gives them back, in this time.
  terminationGracePeriodSeconds: 60
  {{- with .spec.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .spec.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with include "pavemap.oneNode" (dict "root" $root "cluster" .cluster) | trim }}{{ nindent 2 . }}{{- end }}
  containers:
    - name: {{ $head | ternary "ray-head" "ray-worker" }}
      image: {{ include "pavemap.image" (dict "root" $root "image" .image) }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      env:
        {{- include "pavemap.writable" $root | nindent 8 }}
        {{- include "pavemap.logging" $root | nindent 8 }}
        {{- /* Surveyors and Detectors are workers; a training registers its model from its head. */}}
        {{- if or (and (not $head) (eq .cluster "serving")) (and $head $trains) }}
        {{- include "pavemap.databaseEnvironment" $root | nindent 8 }}
        {{- end }}
        {{- include "pavemap.storageEnvironment" $root | nindent 8 }}
        - name: RAY_USAGE_STATS_ENABLED
          value: "0"
      {{- with include "pavemap.storageSecret" $root | trim }}{{ nindent 6 . }}{{- end }}
      ports:
        {{- if $head }}
        - {name: gcs-server, containerPort: 6379}
        - {name: dashboard, containerPort: 8265}
        - {name: client, containerPort: 10001}
        - {name: as-metrics, containerPort: 44217}
        - {name: dash-metrics, containerPort: 44227}
        {{- end }}
        {{- if eq .cluster "serving" }}
        - {name: serve, containerPort: 8000}
        {{- end }}
        - {name: metrics, containerPort: 8080}
      securityContext: {{- include "pavemap.containerSecurity" $root | nindent 8 }}
      resources: {{- toYaml $resources | nindent 8 }}
      volumeMounts:
        {{- include "pavemap.mounts" $root | nindent 8 }}
        {{- if $trains }}
        - {name: training, mountPath: /training}
        {{- end }}
  volumes:
    {{- include "pavemap.volumes" $root | nindent 4 }}
    {{- if $trains }}
    - name: training
      persistentVolumeClaim: {claimName: {{ include "pavemap.trainingClaim" $root | quote }}}
    {{- end }}
{{- end }}

{{- define "pavemap.rayAuth" -}}
{{- if .Values.serving.auth.enabled }}
authOptions:
  mode: token
  secretName: {{ include "pavemap.tokenSecret" . | quote }}
{{- end }}
{{- end }}

{{/* The cluster that serves. */}}
{{- define "pavemap.servingCluster" -}}
{{- $serving := .Values.serving -}}
rayVersion: {{ $serving.rayVersion | quote }}
{{- include "pavemap.rayAuth" . }}
enableInTreeAutoscaling: true
autoscalerOptions:
  version: v2
  idleTimeoutSeconds: {{ $serving.autoscaler.idleTimeoutSeconds }}
  resources: {{- toYaml $serving.autoscaler.resources | nindent 4 }}
  securityContext: {{- include "pavemap.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - {name: tmp, mountPath: /tmp}
{{- with $serving.faultTolerance }}
{{- if .redisAddress }}
gcsFaultToleranceOptions:
  redisAddress: {{ .redisAddress | quote }}
  {{- if .existingSecret }}
  redisPassword:
    valueFrom:
      secretKeyRef:
        name: {{ .existingSecret | quote }}
        key: {{ .key | quote }}
  {{- end }}
{{- end }}
{{- end }}
headGroupSpec:
  rayStartParams:
    # No Detector and no Surveyor on the head: it must not die of their memory.
    num-cpus: "0"
    dashboard-host: 0.0.0.0
  template: {{- include "pavemap.rayPod" (dict "root" . "cluster" "serving" "role" "autoscaled-head" "image" .Values.image.ray "spec" $serving.head) | nindent 4 }}
workerGroupSpecs:
  - groupName: cpu
    replicas: {{ $serving.cpu.minReplicas }}
    minReplicas: {{ $serving.cpu.minReplicas }}
    maxReplicas: {{ $serving.cpu.maxReplicas }}
    rayStartParams:
      num-cpus: {{ $serving.cpu.rayCpus | quote }}
    template: {{- include "pavemap.rayPod" (dict "root" . "cluster" "serving" "role" "worker" "image" .Values.image.ray "spec" $serving.cpu) | nindent 6 }}
  {{- if $serving.gpu.enabled }}
  - groupName: gpu
    replicas: {{ $serving.gpu.minReplicas }}
    minReplicas: {{ $serving.gpu.minReplicas }}
    maxReplicas: {{ $serving.gpu.maxReplicas }}
    rayStartParams:
      # No CPU to book: a Surveyor would keep an idle GPU node up.
      num-cpus: "0"
      num-gpus: {{ $serving.gpu.gpus | quote }}
    template: {{- include "pavemap.rayPod" (dict "root" . "cluster" "serving" "role" "worker" "image" .Values.image.rayGpu "spec" $serving.gpu "gpus" $serving.gpu.gpus "resourceName" $serving.gpu.resourceName) | nindent 6 }}
  {{- end }}
{{- end }}

{{/* The cluster of one training: made with its RayJob, gone with it. */}}
{{- define "pavemap.trainingCluster" -}}
{{- $training := .Values.training -}}
{{- $image := gt (int $training.workers.gpus) 0 | ternary .Values.image.rayGpu .Values.image.ray -}}
rayVersion: {{ .Values.serving.rayVersion | quote }}
{{- include "pavemap.rayAuth" . }}
headGroupSpec:
  rayStartParams:
    num-cpus: "0"
    dashboard-host: 0.0.0.0
  template: {{- include "pavemap.rayPod" (dict "root" . "cluster" "training" "role" "head" "image" .Values.image.ray "spec" $training.head) | nindent 4 }}
workerGroupSpecs:
  - groupName: training
    replicas: {{ $training.workers.replicas }}
    minReplicas: {{ $training.workers.replicas }}
    maxReplicas: {{ $training.workers.replicas }}
    rayStartParams:
      num-cpus: {{ $training.workers.rayCpus | quote }}
      {{- if $training.workers.gpus }}
      num-gpus: {{ $training.workers.gpus | quote }}
      {{- end }}
    template: {{- include "pavemap.rayPod" (dict "root" . "cluster" "training" "role" "worker" "image" $image "spec" $training.workers "gpus" $training.workers.gpus "resourceName" $training.workers.resourceName) | nindent 6 }}
{{- end }}

{{/* CPUs that a Detector books where nothing else is said: nodes of the GPU group offer none. */}}
{{- define "pavemap.detectorCpus" -}}
{{- .Values.serving.gpu.enabled | ternary 0 1 -}}
{{- end }}

{{/* What Serve runs, as KubeRay hands it over. */}}
{{- define "pavemap.serveConfig" -}}
{{- $detectors := .Values.serving.detectors -}}
{{- $onGpu := .Values.serving.gpu.enabled -}}
{{- $own := dict
  "detector_replicas" (max 1 $detectors.min | int)
  "detector_gpus" ($onGpu | ternary $detectors.gpus 0)
  "detector_cpus" (include "pavemap.detectorCpus" . | int)
  "log_json" (eq .Values.logging.format "json")
  "log_level" .Values.logging.level -}}
{{- if not $onGpu }}
{{- $_ := set $own "detector_threads" (int .Values.serving.cpu.rayCpus) }}
{{- end -}}
proxy_location: EveryNode
http_options:
  host: 0.0.0.0
  port: 8000
logging_config:
  encoding: {{ eq .Values.logging.format "json" | ternary "JSON" "TEXT" }}
  enable_access_log: false
applications:
  - name: pavemap
    route_prefix: /
    import_path: pavemap.serving.app:build
    args: {{- toYaml (mergeOverwrite $own .Values.serving.args) | nindent 6 }}
    {{- if lt (int $detectors.min) (int $detectors.max) }}
    deployments:
      - name: Detector
        autoscaling_config:
          min_replicas: {{ $detectors.min }}
          initial_replicas: {{ $detectors.min }}
          max_replicas: {{ $detectors.max }}
          # Chips on their way for each Detector: with more than two batches (of 8 on a GPU, of 1 on CPUs) another starts.
          target_ongoing_requests: {{ mul 2 (.Values.serving.args.max_batch_size | default ($onGpu | ternary 8 1)) }}
          upscale_delay_s: 10
          downscale_delay_s: {{ $detectors.idleSeconds }}
    {{- end }}
{{- end }}
