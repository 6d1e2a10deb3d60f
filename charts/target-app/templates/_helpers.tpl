{{/* Labels of every object; call with the component's name. "app" is what faults and Prometheus select by. */}}
{{- define "target-app.labels" -}}
app: {{ .component }}
app.kubernetes.io/name: {{ .component }}
app.kubernetes.io/part-of: target-app
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "target-app.secretName" -}}
{{ .Values.secret.existing | default "target-app" }}
{{- end }}

{{- define "target-app.image" -}}
image: "{{ .repository }}:{{ .tag }}"
imagePullPolicy: {{ .pullPolicy | default "IfNotPresent" }}
{{- end }}

{{/* What the Pod Security level "restricted" asks of a pod; call with the user. */}}
{{- define "target-app.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ . }}
  runAsGroup: {{ . }}
  fsGroup: {{ . }}
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "target-app.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "target-app.placement" -}}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The Deployment, Service and PodDisruptionBudget of a role of the binary.
     Call with root, component, port, values (the role's own) and env (a list). */}}
{{- define "target-app.role" -}}
{{- $labels := dict "component" .component "root" .root }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .component }}
  labels: {{- include "target-app.labels" $labels | nindent 4 }}
spec:
  replicas: {{ .values.replicas }}
  selector: {matchLabels: {app: {{ .component }}}}
  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  template:
    metadata:
      labels: {{- include "target-app.labels" $labels | nindent 8 }}
      {{- if .root.Values.prometheus.annotations }}
      annotations:
        prometheus.io/scrape: "true"
        prometheus.io/port: "{{ .port }}"
        prometheus.io/path: /metrics
      {{- end }}
    spec:
      {{- include "target-app.podSecurity" 65532 | nindent 6 }}
      # The drain, what is still being served, and a little.
      terminationGracePeriodSeconds: 20
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector: {matchLabels: {app: {{ .component }}}}
          matchLabelKeys: [pod-template-hash]
      {{- include "target-app.placement" .root | nindent 6 }}
      containers:
        - name: {{ .component }}
          {{- include "target-app.image" .root.Values.image | nindent 10 }}
          args: [{{ .component }}]
          ports: [{name: http, containerPort: {{ .port }}}]
          env:
            - {name: LOG_FILTER, value: {{ .root.Values.logFilter | quote }}}
            - {name: DRAIN_DELAY, value: {{ .root.Values.drainDelay | quote }}}
            - {name: SHUTDOWN_TIMEOUT, value: {{ .root.Values.shutdownTimeout | quote }}}
            - {name: READY_WINDOW, value: {{ .root.Values.readyWindow | quote }}}
            {{- toYaml .env | nindent 12 }}
            {{- range $name, $value := .values.env }}
            - {name: {{ $name }}, value: {{ $value | toString | quote }}}
            {{- end }}
          # Every second, so that the time until a replacement serves is that of the application.
          readinessProbe:
            httpGet: {path: /readyz, port: http}
            periodSeconds: 1
            timeoutSeconds: 2
            failureThreshold: 3
          livenessProbe:
            httpGet: {path: /livez, port: http}
            periodSeconds: 5
            timeoutSeconds: 5
            failureThreshold: 6
          resources: {{- toYaml .values.resources | nindent 12 }}
          {{- include "target-app.containerSecurity" . | nindent 10 }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ .component }}
  labels: {{- include "target-app.labels" $labels | nindent 4 }}
spec:
  selector: {app: {{ .component }}}
  ports: [{name: http, port: {{ .port }}, targetPort: http}]
{{- if and .values.podDisruptionBudget (gt (int .values.replicas) 1) }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .component }}
  labels: {{- include "target-app.labels" $labels | nindent 4 }}
spec:
  maxUnavailable: 1
  selector: {matchLabels: {app: {{ .component }}}}
{{- end }}
{{- end }}
