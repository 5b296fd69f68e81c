{{/* Names, labels and other values that several templates need. */}}

{{- define "migration-warden.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 56 | trimSuffix "-" }}
{{- end }}

{{/* At most 63 characters including `-verify`, because the name is also the value of a label. */}}
{{- define "migration-warden.fullname" -}}
{{- $name := include "migration-warden.name" . }}
{{- if .Values.fullnameOverride }}
{{- $name = .Values.fullnameOverride }}
{{- else if not (contains $name .Release.Name) }}
{{- $name = printf "%s-%s" .Release.Name $name }}
{{- else }}
{{- $name = .Release.Name }}
{{- end }}
{{- $name | trunc 56 | trimSuffix "-" }}
{{- end }}

{{- define "migration-warden.selectorLabels" -}}
app.kubernetes.io/name: {{ include "migration-warden.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "migration-warden.labels" -}}
{{ include "migration-warden.selectorLabels" . }}
app.kubernetes.io/component: admission-webhook
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/part-of: migration-warden
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "migration-warden.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* Name of the Secret with the serving certificate. */}}
{{- define "migration-warden.tlsSecret" -}}
{{- if eq .Values.certificates.mode "existing-secret" -}}
{{- required "certificates.existingSecret: name the Secret with tls.crt, tls.key and ca.crt, or choose another certificates.mode" .Values.certificates.existingSecret }}
{{- else if eq .Values.certificates.mode "cert-manager" -}}
{{/* Another Secret than that of the replicas: after a change of the mode, one Secret would have two owners. */}}
{{- include "migration-warden.fullname" . }}-issued
{{- else -}}
{{- include "migration-warden.fullname" . }}-tls
{{- end }}
{{- end }}

{{/* Not empty if the replicas write caBundle; otherwise cert-manager does. */}}
{{- define "migration-warden.writesCABundle" -}}
{{- if ne .Values.certificates.mode "cert-manager" }}yes{{ end }}
{{- end }}

{{/* Not empty if only callers with a client certificate may send reviews. */}}
{{- define "migration-warden.clientCA" -}}
{{- with .Values.certificates.clientCA }}
{{- if and .secretName .configMapName }}
{{- fail "certificates.clientCA: secretName and configMapName are both set; keep one of them" }}
{{- end }}
{{- if or .secretName .configMapName }}yes{{ end }}
{{- end }}
{{- end }}

{{/* Name of the ValidatingAdmissionPolicy. `migration-warden verify` recognizes the policy by this prefix. */}}
{{- define "migration-warden.vapName" -}}
{{- $name := include "migration-warden.fullname" . }}
{{- hasPrefix "migration-warden" $name | ternary $name (printf "migration-warden-%s" $name) }}
{{- end }}

{{/* What Pod Security `restricted` requires of a pod, and of a container. */}}
{{- define "migration-warden.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "migration-warden.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
