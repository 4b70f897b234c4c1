{{/*
One probe. Takes the root, its timing, and which: readiness asks for the whole server, which needs the database; liveness
for the name "liveness", which serves for as long as the process answers. Kubernetes cannot speak TLS to a gRPC port, so
with TLS it asks over HTTP.
*/}}
{{- define "evergrant.probe" -}}
{{- if .root.Values.tls.existingSecret }}
httpGet: { path: {{ ternary "/livez" "/readyz" (eq .which "liveness") }}, port: admin }
{{- else if eq .which "liveness" }}
grpc: { port: 7070, service: liveness }
{{- else }}
grpc: { port: 7070 }
{{- end }}
{{ toYaml .timing }}
{{- end }}
