{{/*
What the entries of both webhook configurations share. With `--webhook-configuration` the replicas compare these
expressions with their own, so both must be equal to the byte.
*/}}

{{/* A CEL string. */}}
{{- define "migration-warden.cel.string" -}}
'{{ . | replace "\\" "\\\\" | replace "'" "\\'" | replace "\n" "\\n" | replace "\r" "\\r" }}'
{{- end }}

{{/* A CEL list of strings. */}}
{{- define "migration-warden.cel.list" -}}
[{{ range $i, $value := . }}{{ if $i }}, {{ end }}{{ include "migration-warden.cel.string" $value }}{{ end }}]
{{- end }}

{{/*
Whether the Job opts out. {job} is the CEL variable that holds the Job, here and below: `object`, or `oldObject` for an
existing Job.
*/}}
{{- define "migration-warden.cel.optedOut" -}}
{{ include "migration-warden.cel.requirement" (dict "job" .job "key" "migration-warden.io/migration" "operator" "In" "values" (list "false")) }}
{{- end }}

{{/* One requirement of a selector: {job, key, operator, values}. */}}
{{- define "migration-warden.cel.requirement" -}}
{{- $label := printf "%s.metadata.?labels[?%s]" .job (include "migration-warden.cel.string" .key) -}}
{{- $values := include "migration-warden.cel.list" (.values | default list) -}}
{{- if eq .operator "In" -}}
{{ $label }}.optMap(v, v in {{ $values }}).orValue(false)
{{- else if eq .operator "NotIn" -}}
{{ $label }}.optMap(v, !(v in {{ $values }})).orValue(true)
{{- else if eq .operator "Exists" -}}
{{ $label }}.hasValue()
{{- else -}}
!{{ $label }}.hasValue()
{{- end }}
{{- end }}

{{/* The policy's selectors: a Job that any of them matches is a migration Job. {root, job} */}}
{{- define "migration-warden.cel.selectors" -}}
{{- $job := .job }}
{{- $selectors := list }}
{{- range .root.Values.policy.match.selectors }}
{{- $requirements := list }}
{{- range $key, $value := .matchLabels }}
{{- $requirements = append $requirements (include "migration-warden.cel.requirement" (dict "job" $job "key" $key "operator" "In" "values" (list $value))) }}
{{- end }}
{{- range .matchExpressions }}
{{- $requirements = append $requirements (include "migration-warden.cel.requirement" (merge (dict "job" $job) .)) }}
{{- end }}
{{- $selectors = append $selectors (printf "(%s)" (join " && " $requirements | default "true")) }}
{{- end }}
{{- join " || " $selectors }}
{{- end }}

{{/* Whether the Job is a migration. {root, job} */}}
{{- define "migration-warden.cel.migration" -}}
!({{ include "migration-warden.cel.optedOut" . }}) && ({{ include "migration-warden.cel.selectors" . }})
{{- end }}

{{/* Whether an existing Job is a migration: it is labelled, or was adopted. {root, job} */}}
{{- define "migration-warden.cel.storedMigration" -}}
!({{ include "migration-warden.cel.optedOut" . }}) && ({{ include "migration-warden.cel.selectors" . }} || {{ include "migration-warden.cel.adoptedLabel" (dict "job" .job "operator" "Exists") }})
{{- end }}

{{/* Conditions of the entries for migration Jobs. */}}
{{- define "migration-warden.migrationConditions" -}}
{{ include "migration-warden.notTheControlPlane" . }}
- name: migration
  expression: {{ include "migration-warden.cel.migration" (dict "root" . "job" "object") | quote }}
{{- end }}

{{/*
Conditions of the entries for all other Jobs: {root, path}. If nothing but the label can be found in them, only Jobs that
opted out are sent, because those are recorded.
*/}}
{{- define "migration-warden.detectConditions" -}}
{{ include "migration-warden.notTheControlPlane" .root }}
{{- $job := dict "root" .root "job" "object" }}
{{- $optedOut := include "migration-warden.cel.optedOut" $job }}
{{- if include "migration-warden.needsDetection" .root }}
- name: not-a-migration
  expression: {{ printf "%s || !(%s)" $optedOut (include "migration-warden.cel.selectors" $job) | quote }}
{{- if eq .path "/validate" }}
- name: not-adopted-yet
  expression: {{ printf "%s || %s" $optedOut (include "migration-warden.cel.adoptedLabel" (dict "operator" "DoesNotExist")) | quote }}
{{- else if include "migration-warden.adopts" .root }}
- name: not-adopted
  expression: {{ printf "%s || !(%s)" $optedOut (include "migration-warden.cel.adopted" .root) | quote }}
{{- end }}
{{- else }}
- name: opted-out
  expression: {{ $optedOut | quote }}
{{- end }}
{{- end }}

{{/* A webhook that is down must not stop the control plane, for example when it creates the Jobs of CronJobs. */}}
{{- define "migration-warden.notTheControlPlane" -}}
- name: not-the-control-plane
  expression: "!(request.userInfo.username in ['system:serviceaccount:kube-system:cronjob-controller', 'system:kube-controller-manager'])"
{{- end }}

{{/* Conditions of the entry for updates and deletions of migration Jobs. */}}
{{- define "migration-warden.guardConditions" -}}
{{- $stamps := include "migration-warden.cel.list" (list "migration-warden.io/decision" "migration-warden.io/requested-by" "migration-warden.io/exceptions" "migration-warden.io/patched") }}
{{- $old := include "migration-warden.cel.storedMigration" (dict "root" . "job" "oldObject") }}
{{- $new := include "migration-warden.cel.storedMigration" (dict "root" . "job" "object") -}}
- name: not-the-control-plane
  expression: "!(request.userInfo.username in ['system:apiserver', 'system:kube-controller-manager', 'system:serviceaccount:kube-system:cronjob-controller', 'system:serviceaccount:kube-system:generic-garbage-collector', 'system:serviceaccount:kube-system:job-controller', 'system:serviceaccount:kube-system:namespace-controller', 'system:serviceaccount:kube-system:node-controller', 'system:serviceaccount:kube-system:pod-garbage-collector', 'system:serviceaccount:kube-system:ttl-after-finished-controller'] || request.userInfo.username.startsWith('system:node:'))"
- name: guarded-migration
  expression: {{ printf "(%s) || (request.operation == 'DELETE' && %s.exists(s, oldObject.metadata.?annotations[?s].hasValue())) || (request.operation == 'UPDATE' && %s.exists(s, object.metadata.?annotations[?s].hasValue()) && (%s))" $old $stamps $stamps $new | quote }}
- name: deleted-reapplied-or-forged
  expression: {{ printf "request.operation == 'DELETE' || ([request.options.?fieldManager.orValue('')].exists(m, !(m in ['', 'kustomize-controller'] || m.startsWith('kubectl') || m.startsWith('argocd'))) && oldObject.metadata.?annotations[?'helm.sh/hook'].hasValue() && oldObject.?status.?conditions.orValue([]).exists(c, c.type in ['Complete', 'Failed'] && c.status == 'True')) || %s.exists(s, object.metadata.?annotations[?s] != oldObject.metadata.?annotations[?s]) || object.metadata.?labels[?'migration-warden.io/adopted'] != oldObject.metadata.?labels[?'migration-warden.io/adopted'] || !(%s) || !(%s)" $stamps $old $new | quote }}
{{- end }}

{{/* The policy's strongest action for detected Jobs. Helm reads `off` without quotes as false. */}}
{{- define "migration-warden.detection" -}}
{{- $action := dig "detection" "maxAction" "audit" .Values.policy | toString }}
{{- eq $action "false" | ternary "off" $action }}
{{- end }}

{{/*
Not empty if a holder of a claim that never started gives way. Helm reads `off` without quotes as false. Under the profile
`audit` no Job is changed or removed.
*/}}
{{- define "migration-warden.supersedes" -}}
{{- $holder := dig "claims" "supersede" "neverStarted" .Values.policy | toString }}
{{- if not (or (has $holder (list "off" "false")) (eq .Values.policy.profile "audit")) }}yes{{ end }}
{{- end }}

{{/* Not empty if finished Jobs are removed. Helm reads `on` and `off` without quotes as booleans. */}}
{{- define "migration-warden.tidies" -}}
{{- $mode := dig "tidyUp" "mode" "on" .Values.policy | toString }}
{{- if and (has $mode (list "on" "true")) (ne .Values.policy.profile "audit") }}yes{{ end }}
{{- end }}

{{/* Whether runs are recorded. Helm reads `on` and `off` without quotes as booleans. */}}
{{- define "migration-warden.runs" -}}
{{- $mode := dig "record" "runs" "mode" "on" .Values.policy | toString }}
{{- get (dict "true" "on" "false" "off") $mode | default $mode }}
{{- end }}

{{/* Namespaces whose Jobs are not reviewed. */}}
{{- define "migration-warden.outside" -}}
{{ concat (list "kube-system" "kube-node-lease" .Release.Namespace) .Values.webhooks.excludedNamespaces | uniq | toJson }}
{{- end }}

{{/*
Everything of an entry except name, failure policy, timeout, conditions and side effects: {root, path, resource}, and
{operations} if the entry is not about creations.
*/}}
{{- define "migration-warden.entry" -}}
admissionReviewVersions: [v1]
clientConfig:
  # No caBundle here: the replicas or cert-manager write it, and an upgrade would overwrite it.
  service:
    namespace: {{ .root.Release.Namespace }}
    name: {{ include "migration-warden.fullname" .root }}
    path: {{ .path }}
    port: {{ .root.Values.service.port }}
matchPolicy: Equivalent
namespaceSelector:
  matchExpressions:
    - key: kubernetes.io/metadata.name
      operator: NotIn
      values: {{ include "migration-warden.outside" .root }}
objectSelector: {}
rules:
  - apiGroups: [batch]
    apiVersions: [v1]
    resources: [{{ .resource }}]
    operations: {{ .operations | default (list "CREATE") | toJson }}
    scope: Namespaced
{{- end }}

{{/* With this annotation cert-manager's cainjector writes caBundle. */}}
{{- define "migration-warden.webhookAnnotations" -}}
{{- if eq .Values.certificates.mode "cert-manager" -}}
annotations:
  cert-manager.io/inject-ca-from: {{ .Release.Namespace }}/{{ include "migration-warden.fullname" . }}
{{- end }}
{{- end }}
