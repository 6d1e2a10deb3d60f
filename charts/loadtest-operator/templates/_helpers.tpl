{{/* The name of the installation's objects. */}}
{{- define "loadtest-operator.name" -}}
{{- $chart := default .Chart.Name .Values.nameOverride }}
{{- $name := ternary .Release.Name (printf "%s-%s" .Release.Name $chart) (contains $chart .Release.Name) }}
{{- default $name .Values.fullnameOverride | trunc 53 | trimSuffix "-" }}
{{- end }}

{{- define "loadtest-operator.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "loadtest-operator.name" .) }}
{{- end }}

{{- define "loadtest-operator.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "loadtest-operator.labels" -}}
{{ include "loadtest-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* The load store's objects. */}}
{{- define "loadtest-operator.store" -}}
{{ include "loadtest-operator.name" . | trunc 42 | trimSuffix "-" }}-load-store
{{- end }}

{{/* The labels of its pod. */}}
{{- define "loadtest-operator.storeLabels" -}}
app.kubernetes.io/name: load-store
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Its configuration file. */}}
{{- define "loadtest-operator.storeConfig" -}}
storage:
  tsdb:
    # Runners' clocks and pushes may lag behind one another.
    out_of_order_time_window: 10m
otlp:
  translation_strategy: UnderscoreEscapingWithSuffixes
  # By these the operator tells runs, runners and scenarios apart.
  promote_resource_attributes: [testid, loadtest_run, loadtest_runner, loadtest_scenario]
{{- with .Values.loadStore.forward }}
remote_write: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The operator as the subject of a binding. */}}
{{- define "loadtest-operator.subject" -}}
kind: ServiceAccount
name: {{ include "loadtest-operator.serviceAccount" . }}
namespace: {{ .Release.Namespace }}
{{- end }}

{{/* The operator's configuration file. */}}
{{- define "loadtest-operator.config" -}}
namespaces: {{ toJson .Values.namespaces }}
loadStore:
  {{- $store := .Values.loadStore }}
  {{- $own := printf "http://%s.%s:9090" (include "loadtest-operator.store" .) .Release.Namespace }}
  queryURL: {{ ternary $own $store.queryURL $store.enabled | quote }}
  writeURL: {{ ternary (printf "%s/api/v1/otlp/v1/metrics" $own) $store.writeURL $store.enabled | quote }}
  pushInterval: {{ $store.pushInterval | quote }}
  {{- if $store.bearerToken }}
  bearerTokenFile: /var/run/secrets/load-store/token
  {{- end }}
{{- with .Values.prometheus }}
prometheus:
  {{- range $name, $endpoint := . }}
  {{ $name }}:
    queryURL: {{ $endpoint.queryURL | quote }}
    {{- if $endpoint.bearerToken }}
    bearerTokenFile: {{ printf "/var/run/secrets/loadtest-operator/%s/token" $name }}
    {{- end }}
  {{- end }}
{{- end }}
leaderElection: {enabled: {{ .Values.leaderElection.enabled }}}
{{- end }}

{{/* What the values' schema cannot say. */}}
{{- define "loadtest-operator.check" -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.leaderElection.enabled) }}
{{- fail "replicas: two operators without leader election would both act; set leaderElection.enabled" }}
{{- end }}
{{- with .Values.loadStore }}
{{- if and .enabled (or .queryURL .writeURL) }}
{{- fail "loadStore: queryURL and writeURL name a store of yours; set loadStore.enabled=false, or leave them out" }}
{{- end }}
{{- if and (not .enabled) (not (and .queryURL .writeURL)) }}
{{- fail "loadStore: without one of its own (enabled: false) the chart needs the queryURL and the writeURL of yours" }}
{{- end }}
{{- end }}
{{- $seen := dict }}
{{- range .Values.faultAccounts }}
{{- if not (has .namespace $.Values.namespaces) }}
{{- fail (printf "faultAccounts: account %s is in namespace %s, which is not in namespaces: add it there" .name .namespace) }}
{{- end }}
{{- $key := printf "%s/%s" .namespace .name }}
{{- if hasKey $seen $key }}
{{- fail (printf "faultAccounts: account %s is listed twice; list all its targets in one place" $key) }}
{{- end }}
{{- $_ := set $seen $key true }}
{{- if and (eq .namespace $.Release.Namespace) (eq .name (include "loadtest-operator.serviceAccount" $)) }}
{{- fail "faultAccounts: the operator's own account cannot be one; name another" }}
{{- end }}
{{- end }}
{{- end }}
