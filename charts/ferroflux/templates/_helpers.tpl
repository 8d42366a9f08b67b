{{/* Labels of every object of a component. Call with a dict of root and component. */}}
{{- define "ferroflux.labels" -}}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Namespace }}
app.kubernetes.io/part-of: flux
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* What the two Pods have in common. Call with a dict of root, component and values. */}}
{{- define "ferroflux.pod" -}}
serviceAccountName: {{ .component }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  fsGroup: 1337
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What the two containers have in common, but for their arguments, ports, probes and volumes. */}}
{{- define "ferroflux.container" -}}
name: manager
image: "{{ .values.image.repository }}:{{ .values.image.tag | default .root.Chart.AppVersion }}"
imagePullPolicy: {{ .values.image.pullPolicy }}
env:
- name: RUNTIME_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- with .values.extraEnv }}
{{ toYaml . }}
{{- end }}
resources:
  {{- toYaml .values.resources | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  capabilities:
    drop: [ALL]
  seccompProfile:
    type: RuntimeDefault
livenessProbe:
  httpGet:
    path: /healthz
    port: healthz
{{- end }}

{{/* Arguments that both binaries take. */}}
{{- define "ferroflux.args" -}}
- --watch-all-namespaces={{ .values.watchAllNamespaces }}
- --log-level={{ .values.logLevel }}
- --log-encoding=json
- --enable-leader-election
{{- end }}

{{/* Metadata of the Pod template. */}}
{{- define "ferroflux.podMetadata" -}}
labels:
  app: {{ .component }}
  {{- include "ferroflux.labels" . | nindent 2 }}
  {{- with .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  prometheus.io/scrape: "true"
  prometheus.io/port: "8080"
  {{- with .values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Service account and the rights to elect a leader. */}}
{{- define "ferroflux.identity" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .component }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "ferroflux.labels" . | nindent 4 }}
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
    {{- include "ferroflux.labels" . | nindent 4 }}
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
    {{- include "ferroflux.labels" . | nindent 4 }}
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
