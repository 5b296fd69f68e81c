{{/*
The policy's `adopt` in CEL, and what follows from it for the webhook entries. As in _webhooks.tpl, the replicas compare
the expressions with their own.
*/}}

{{/* Not empty if the policy has an entry that CEL can express. */}}
{{- define "migration-warden.adopts" -}}
{{- range .Values.policy.adopt }}{{ if not .match.tools }}yes{{ end }}{{ end }}
{{- end }}

{{/*
Not empty if Jobs without a label have to be reviewed by the engine: for detection, or for an entry that CEL cannot
express.
*/}}
{{- define "migration-warden.needsDetection" -}}
{{- if ne (include "migration-warden.detection" .) "off" }}yes{{ end }}
{{- range .Values.policy.adopt }}{{ if .match.tools }}yes{{ end }}{{ end }}
{{- end }}

{{/* Not empty if detection adopts Jobs. */}}
{{- define "migration-warden.adoptsDetected" -}}
{{- $promises := list "claims" }}
{{- if hasKey (.Values.policy.detection | default dict) "promises" }}{{ $promises = .Values.policy.detection.promises }}{{ end }}
{{- if and $promises (ne (include "migration-warden.detection" .) "off") }}yes{{ end }}
{{- end }}

{{/* Not empty if any Job may be adopted. */}}
{{- define "migration-warden.adoptsAny" -}}
{{- if or .Values.policy.adopt (include "migration-warden.adoptsDetected" .) }}yes{{ end }}
{{- end }}

{{/* A CEL string with the regular expression of some patterns. */}}
{{- define "migration-warden.cel.pattern" -}}
{{- $each := list }}
{{- range . }}{{ $each = append $each (. | replace "." "\\." | replace "*" ".*") }}{{ end }}
{{- include "migration-warden.cel.string" (printf "^(?:%s)$" (join "|" $each)) }}
{{- end }}

{{/* Whether an entry's `match` matches the Job, what costs least first. */}}
{{- define "migration-warden.cel.match" -}}
{{- $all := list }}
{{- range $key, $value := .labels }}
{{- $all = append $all (include "migration-warden.cel.requirement" (dict "job" "object" "key" $key "operator" "In" "values" (list $value))) }}
{{- end }}
{{- with .hooks }}{{ $all = append $all (printf "hooks.exists(h, h in %s)" (include "migration-warden.cel.list" .)) }}{{ end }}
{{- with .namespaces }}{{ $all = append $all (printf "request.namespace.matches(%s)" (include "migration-warden.cel.pattern" .)) }}{{ end }}
{{- with .names }}{{ $all = append $all (printf "names.exists(t, t.matches(%s))" (include "migration-warden.cel.pattern" .)) }}{{ end }}
{{- with .images }}{{ $all = append $all (printf "images.exists(t, t.matches(%s))" (include "migration-warden.cel.pattern" .)) }}{{ end }}
{{- join " && " $all }}
{{- end }}

{{/* Whether an entry adopts the Job. */}}
{{- define "migration-warden.cel.adopted" -}}
{{- $names := "[optional.ofNonZeroValue(object.metadata.?name.orValue('')).orValue(object.metadata.?generateName.orValue(''))].filter(n, size(n) <= 253)" }}
{{- $init := "object.?spec.?template.?spec.?initContainers.optFlatMap(l, optional.ofNonZeroValue(l)).orValue([])" }}
{{- $main := "object.?spec.?template.?spec.?containers.optFlatMap(l, optional.ofNonZeroValue(l)).orValue([])" }}
{{- $images := printf "[%s + %s].map(l, size(l) <= 16 ? l.map(c, c.?image.orValue('')).filter(i, size(i) <= 255) : [])[0]" $init $main }}
{{- $helm := "[object.metadata.?annotations[?'helm.sh/hook'].orValue('')].map(v, size(v) <= 256 ? v.split(',', 17).map(e, e.trim().lowerAscii().replace('\\u0130', 'i').replace('\\u212a', 'k')) : [])[0]" }}
{{- $argocd := "[object.metadata.?annotations[?'argocd.argoproj.io/hook'].orValue('')].map(v, size(v) <= 256 ? v.split(',', 17).map(e, e.trim()) : [])[0]" }}
{{- $each := list }}
{{- range .Values.policy.adopt }}
{{- if not .match.tools }}{{ $each = append $each (printf "(%s)" (include "migration-warden.cel.match" .match)) }}{{ end }}
{{- end -}}
[{{ $names }}].exists(names, [{{ $images }}].exists(images, [{{ $helm }} + {{ $argocd }}].exists(hooks, {{ join " || " $each }})))
{{- end }}

{{/* Conditions of the entry of /mutate for the Jobs that entries of `adopt` match. */}}
{{- define "migration-warden.adoptConditions" -}}
{{ include "migration-warden.unlabelledConditions" . }}
- name: adopted
  expression: {{ include "migration-warden.cel.adopted" . | quote }}
{{- end }}

{{/* Conditions of the entry of /validate for the Jobs with the label of an entry of `adopt`. */}}
{{- define "migration-warden.adoptedConditions" -}}
{{ include "migration-warden.unlabelledConditions" . }}
- name: adopted-by-an-entry
  expression: {{ printf "%s && %s" (include "migration-warden.cel.adoptedLabel" (dict "operator" "Exists")) (include "migration-warden.cel.adoptedLabel" (dict "operator" "NotIn")) | quote }}
{{- end }}

{{/* Conditions of the entry of /validate for the Jobs that detection has adopted. */}}
{{- define "migration-warden.adoptedDetectedConditions" -}}
{{ include "migration-warden.unlabelledConditions" . }}
- name: adopted-by-detection
  expression: {{ include "migration-warden.cel.adoptedLabel" (dict "operator" "In") | quote }}
{{- end }}

{{/* A requirement for the label of adopted Jobs: {operator}, and {job} if it is not `object`. */}}
{{- define "migration-warden.cel.adoptedLabel" -}}
{{ include "migration-warden.cel.requirement" (dict "job" (.job | default "object") "key" "migration-warden.io/adopted" "operator" .operator "values" (list "detected")) }}
{{- end }}

{{/* Conditions for Jobs whose labels say nothing: neither migrations nor opted out. */}}
{{- define "migration-warden.unlabelledConditions" -}}
{{- $job := dict "root" . "job" "object" -}}
{{ include "migration-warden.notTheControlPlane" . }}
- name: unlabelled
  expression: {{ printf "!(%s || %s)" (include "migration-warden.cel.optedOut" $job) (include "migration-warden.cel.selectors" $job) | quote }}
{{- end }}

{{/* Conditions of the ValidatingAdmissionPolicy: it also judges the Jobs of the entries whose rules are enforced. */}}
{{- define "migration-warden.enforcedConditions" -}}
{{- $names := list }}
{{- range .Values.policy.adopt }}{{ if eq (toString .rules) "enforce" }}{{ $names = append $names .name }}{{ end }}{{ end }}
{{- $job := dict "root" . "job" "object" }}
{{- if $names -}}
{{ include "migration-warden.notTheControlPlane" . }}
{{- $adopted := include "migration-warden.cel.requirement" (dict "job" "object" "key" "migration-warden.io/adopted" "operator" "In" "values" $names) }}
- name: migration
  expression: {{ printf "!(%s) && (%s || %s)" (include "migration-warden.cel.optedOut" $job) (include "migration-warden.cel.selectors" $job) $adopted | quote }}
{{- else -}}
{{ include "migration-warden.migrationConditions" . }}
{{- end }}
{{- end }}
