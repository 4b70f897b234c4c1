{{/* What a schema cannot say: values that need each other. */}}
{{- define "evergrant.require" -}}
{{- $values := .Values }}
{{- if not $values.image.repository }}
{{- fail "image.repository is required: build an image with deploy/Containerfile and push it to your registry" }}
{{- end }}
{{- if not (contains "[[callers]]" $values.config) }}
{{- fail "config must name who may call, in [[callers]]: pods listen beyond loopback" }}
{{- end }}
{{- if eq $values.database.kind "sqlite" }}
{{- if or (ne (int $values.replicas) 1) $values.autoscaling.enabled }}
{{- fail "database.kind sqlite is for one replica: set replicas to 1 and leave autoscaling off" }}
{{- end }}
{{- if not $values.persistence.enabled }}
{{- fail "database.kind sqlite needs persistence.enabled: the database would be lost with its pod" }}
{{- end }}
{{- else }}
{{- if not $values.database.existingSecret }}
{{- fail "database.existingSecret is required: the Secret that holds the URL of Postgres" }}
{{- end }}
{{- if not $values.sealingKeys.existingSecret }}
{{- fail "sealingKeys.existingSecret is required with Postgres: `evergrant keys generate` makes a key" }}
{{- end }}
{{- if not (or $values.redis.existingSecret $values.persistence.enabled) }}
{{- fail "without redis.existingSecret and persistence.enabled a crash would lose refresh tokens: set one of them" }}
{{- end }}
{{- end }}
{{- with $values.sealingKeys }}
{{- if and .existingSecret (not (has .active .ids)) }}
{{- fail "sealingKeys.active must be one of sealingKeys.ids" }}
{{- end }}
{{- end }}
{{- if and $values.autoscaling.enabled (gt (int $values.autoscaling.minReplicas) (int $values.autoscaling.maxReplicas)) }}
{{- fail "autoscaling.minReplicas must not be above autoscaling.maxReplicas" }}
{{- end }}
{{- $taken := list 7070 7071 }}
{{- range $name := list "inbound" "callback" }}
{{- with get $values $name }}
{{- if .enabled }}
{{- if has (int .port) $taken }}
{{- fail (printf "%s.port is taken: each listener has its own, 7070 is for gRPC and 7071 for metrics and probes" $name) }}
{{- end }}
{{- $taken = append $taken (int .port) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
