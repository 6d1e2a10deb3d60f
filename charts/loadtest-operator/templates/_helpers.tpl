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

{{/* The operator as the subject of a binding. */}}
{{- define "loadtest-operator.subject" -}}
kind: ServiceAccount
name: {{ include "loadtest-operator.serviceAccount" . }}
namespace: {{ .Release.Namespace }}
{{- end }}

{{/* The operator's configuration file. */}}
{{- define "loadtest-operator.config" -}}
namespaces: {{ toJson .Values.namespaces }}
prometheus:
  {{- range $name, $endpoint := .Values.prometheus }}
  {{ $name }}:
    queryURL: {{ $endpoint.queryURL | quote }}
    remoteWriteURL: {{ $endpoint.remoteWriteURL | quote }}
    {{- with $endpoint.pushInterval }}
    pushInterval: {{ . | quote }}
    {{- end }}
    {{- if $endpoint.bearerToken }}
    bearerTokenFile: {{ printf "/var/run/secrets/loadtest-operator/%s/token" $name }}
    {{- end }}
  {{- end }}
leaderElection: {enabled: {{ .Values.leaderElection.enabled }}}
{{- end }}

{{/* What the values' schema cannot say. */}}
{{- define "loadtest-operator.check" -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.leaderElection.enabled) }}
{{- fail "replicas: two operators without leader election would both act; set leaderElection.enabled" }}
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
