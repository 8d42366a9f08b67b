{{/* What every object of an installation carries, in its Pods too. Call with a dict of root and, for its objects, component. */}}
{{- define "ferroflux.commonLabels" -}}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
app.kubernetes.io/instance: {{ .root.Release.Namespace }}
app.kubernetes.io/part-of: flux
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{- end }}

{{/* The same with what tells of Helm. Not in Pods, which would restart with every version of the chart. */}}
{{- define "ferroflux.labels" -}}
{{ include "ferroflux.commonLabels" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* A role with its binding to service accounts. Call with a dict of root, component, name, role and accounts. */}}
{{- define "ferroflux.clusterRoleBinding" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ .name }}
  labels:
    {{- include "ferroflux.labels" . | trim | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ .role | default .name }}
subjects:
{{- $namespace := .root.Release.Namespace }}
{{- range .accounts }}
- kind: ServiceAccount
  name: {{ . }}
  namespace: {{ $namespace }}
{{- end }}
{{- end }}

{{/* Service account of a controller and the rights to elect a leader. */}}
{{- define "ferroflux.identity" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "ferroflux.labels" . | trim | nindent 4 }}
  {{- with .values.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- if .root.Values.rbac.create }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ .component }}-leader-election
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "ferroflux.labels" . | trim | nindent 4 }}
rules:
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update, patch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .component }}-leader-election
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "ferroflux.labels" . | trim | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .component }}-leader-election
subjects:
- kind: ServiceAccount
  name: {{ .component }}
  namespace: {{ .root.Release.Namespace }}
{{- end }}
{{- end }}

{{/*
Name and annotations of an object that each shard has one of. Call with a dict of root, component and name, which is that of the
component, with a dash and the shard for those of a shard.
*/}}
{{- define "ferroflux.shardMetadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
{{- $annotations := .annotations | default dict }}
{{- if .shard }}
{{- $annotations = merge (dict "sharding.fluxcd.io/role" "shard") $annotations }}
{{- end }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
labels:
  {{- include "ferroflux.labels" . | trim | nindent 2 }}
{{- end }}

{{/*
The Deployment of a controller, without what only one of them has. Call with a dict of root, component, values, name, shard,
replace (whether the old Pod ends before the new one starts), grace, args, ports, mounts and volumes.
*/}}
{{- define "ferroflux.deployment" -}}
{{- $root := .root }}
{{- $volumes := .volumes }}
{{- with $root.Values.artifactToken }}
{{- if .secretName }}
{{- $items := list (dict "key" .key "path" "token") }}
{{- $volumes = merge (dict "artifact-token" (dict "secret" (dict "secretName" .secretName "items" $items))) $volumes }}
{{- end }}
{{- end }}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "ferroflux.shardMetadata" . | nindent 2 }}
    control-plane: controller
spec:
  replicas: 1
  {{- if .replace }}
  strategy:
    type: Recreate
  {{- end }}
  selector:
    matchLabels:
      app: {{ .name }}
  template:
    metadata:
      labels:
        app: {{ .name }}
        {{- include "ferroflux.commonLabels" . | trim | nindent 8 }}
        {{- with .values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        prometheus.io/scrape: "true"
        prometheus.io/port: "8080"
        {{- if .shard }}
        sharding.fluxcd.io/role: shard
        {{- end }}
        {{- with .values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ .component }}
      {{- with $root.Values.priorityClassName }}
      priorityClassName: {{ . | quote }}
      {{- end }}
      {{- with $root.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      terminationGracePeriodSeconds: {{ .grace }}
      securityContext:
        # Required for the storage to be writable.
        fsGroup: 1337
      containers:
      - name: manager
        image: "{{ .values.image.repository }}:{{ .values.image.tag | default $root.Chart.AppVersion }}"
        imagePullPolicy: {{ .values.image.pullPolicy }}
        args:
        {{- with $root.Values.eventsAddr }}
        - --events-addr={{ . }}
        {{- end }}
        - --watch-all-namespaces{{ if not .values.watchAllNamespaces }}=false{{ end }}
        - --log-level={{ .values.logLevel }}
        - --log-encoding=json
        - --enable-leader-election
        {{- range .args }}
        - {{ . }}
        {{- end }}
        {{- if $root.Values.artifactToken.secretName }}
        - --artifact-token-file=/artifact-token/token
        {{- if ne .component "source-controller" }}
        {{- range $publisher := $root.Values.sourceWatcher.create | ternary (list "source-controller" "source-watcher") (list "source-controller") }}
        {{- range $shard := prepend $root.Values.sharding.shards "" }}
        - --artifact-hosts={{ empty $shard | ternary $publisher (printf "%s-%s" $publisher $shard) }}.$(RUNTIME_NAMESPACE).svc.{{ $root.Values.clusterDomain }}.
        {{- end }}
        {{- end }}
        {{- end }}
        {{- end }}
        {{- if .shard }}
        - --watch-label-selector=sharding.fluxcd.io/key={{ .shard }}
        {{- else if $root.Values.sharding.shards }}
        - --watch-label-selector=!sharding.fluxcd.io/key
        {{- end }}
        {{- range .lockdown }}
        - {{ . }}
        {{- end }}
        {{- with .values.extraArgs }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        env:
        - name: RUNTIME_NAMESPACE
          valueFrom:
            fieldRef:
              fieldPath: metadata.namespace
        {{- with .values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        ports:
        {{- range .ports }}
        - name: {{ .name }}
          containerPort: {{ .port }}
          protocol: TCP
        {{- end }}
        livenessProbe:
          httpGet:
            path: /healthz
            port: healthz
        readinessProbe:
          httpGet:
            path: /readyz
            port: healthz
        resources:
          {{- toYaml .values.resources | nindent 10 }}
        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          runAsNonRoot: true
          capabilities:
            drop: [ALL]
          seccompProfile:
            type: RuntimeDefault
        volumeMounts:
        {{- range $name, $_ := $volumes }}
        - name: {{ $name }}
          mountPath: /{{ eq $name "temp" | ternary "tmp" $name }}
        {{- end }}
      volumes:
      {{- range $name, $source := $volumes }}
      - name: {{ $name }}
        {{- toYaml $source | nindent 8 }}
      {{- end }}
{{- end }}

{{/*
A controller that publishes artifacts, with its storage and the Service for it, once for each shard. Call with a dict of root,
component, values and lockdown, the arguments that tenancy.lockdown adds.
*/}}
{{- define "ferroflux.publisher" -}}
{{- $root := .root }}
{{- $values := .values }}
{{- $component := .component }}
{{- $lockdown := .lockdown }}
{{ include "ferroflux.identity" (dict "root" $root "component" $component "values" $values) }}
{{- range $shard := prepend $root.Values.sharding.shards "" }}
{{- $name := empty $shard | ternary $component (printf "%s-%s" $component $shard) }}
{{- $c := dict "root" $root "component" $component "values" $values "shard" $shard "name" $name }}
---
apiVersion: v1
kind: Service
metadata:
  {{- include "ferroflux.shardMetadata" $c | nindent 2 }}
    control-plane: controller
spec:
  type: ClusterIP
  selector:
    app: {{ $name }}
  ports:
  - name: http
    port: 80
    protocol: TCP
    targetPort: http
{{- $data := dict "emptyDir" $values.emptyDir }}
{{- with $values.persistence }}
{{- if .enabled }}
{{- $claim := .existingClaim | default $name }}
{{- $data = dict "persistentVolumeClaim" (dict "claimName" $claim) }}
{{- if not .existingClaim }}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  {{- include "ferroflux.shardMetadata" (merge (dict "annotations" .annotations) $c) | nindent 2 }}
spec:
  accessModes:
    {{- toYaml .accessModes | nindent 4 }}
  {{- with .storageClassName }}
  storageClassName: {{ . | quote }}
  {{- end }}
  resources:
    requests:
      storage: {{ .size }}
{{- end }}
{{- end }}
{{- end }}
---
{{- /* Two Pods would serve two different storages under one name. The dot makes the name absolute: no search domain is tried. */}}
{{- $address := printf "%s.$(RUNTIME_NAMESPACE).svc.%s." $name $root.Values.clusterDomain }}
{{ include "ferroflux.deployment" (merge (dict
  "replace" true
  "grace" 30
  "args" (list "--storage-path=/data" (printf "--storage-adv-addr=%s" $address))
  "lockdown" ($root.Values.tenancy.lockdown | ternary $lockdown list)
  "ports" (list (dict "name" "http" "port" 9090) (dict "name" "http-prom" "port" 8080) (dict "name" "healthz" "port" 9440))
  "volumes" (dict "data" $data "tmp" (dict "emptyDir" dict))
) $c) }}
{{- end }}
{{- end }}

{{/*
A controller that downloads artifacts and serves none, once for each shard. Call with a dict of root, component, values, grace and
lockdown, the arguments that tenancy.lockdown adds.
*/}}
{{- define "ferroflux.consumer" -}}
{{- $root := .root }}
{{- $c := . }}
{{- $lockdown := $root.Values.tenancy.lockdown | ternary .lockdown list }}
{{ include "ferroflux.identity" $c }}
{{- range $shard := prepend $root.Values.sharding.shards "" }}
{{- $name := empty $shard | ternary $c.component (printf "%s-%s" $c.component $shard) }}
---
{{ include "ferroflux.deployment" (dict
  "root" $root
  "component" $c.component
  "values" $c.values
  "shard" $shard
  "name" $name
  "grace" $c.grace
  "lockdown" $lockdown
  "ports" (list (dict "name" "http-prom" "port" 8080) (dict "name" "healthz" "port" 9440))
  "volumes" (dict "temp" (dict "emptyDir" dict))
) }}
{{- end }}
{{- end }}
