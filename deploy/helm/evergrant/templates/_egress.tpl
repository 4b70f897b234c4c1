{{- define "evergrant.egress.dns" -}}
- ports: [{ port: 53, protocol: UDP }, { port: 53, protocol: TCP }]
  {{- with .Values.networkPolicy.dns }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* Takes a port and its peers; none of them means any address. */}}
{{- define "evergrant.egress.peer" -}}
- ports: [{ port: {{ .port }}, protocol: TCP }]
  {{- with .to }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
