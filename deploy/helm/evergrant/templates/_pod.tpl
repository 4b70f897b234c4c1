{{/* What replicas and the migration share: the whole configuration, and how their pods are held in. */}}

{{- define "evergrant.config" -}}
evergrant.toml: |
  {{- .Values.config | trimSuffix "\n" | nindent 2 }}
  {{- with .Values.sealingKeys }}
  {{- if .existingSecret }}

  [keys]
  active = {{ .active | quote }}
  {{- with .lost }}
  lost = {{ toJson . }}
  {{- end }}
  {{- range .ids }}
  {{ . | quote }} = { file = "/etc/evergrant/keys/{{ . }}" }
  {{- end }}
  {{- end }}
  {{- end }}
{{- end }}

{{- define "evergrant.env" -}}
{{- $values := .Values -}}
- { name: EVERGRANT_CONFIG, value: /etc/evergrant/config/evergrant.toml }
- { name: EVERGRANT__SERVER__LISTEN, value: {{ printf "%s:7070" $values.listenAddress | quote }} }
- { name: EVERGRANT__SERVER__ADMIN_LISTEN, value: {{ printf "%s:7071" $values.listenAddress | quote }} }
- { name: EVERGRANT__SERVER__SHUTDOWN_TIMEOUT, value: {{ printf "%ds" (int $values.shutdown.timeoutSeconds) | quote }} }
- { name: EVERGRANT__PROVIDERS__DIR, value: /etc/evergrant/providers.d }
{{- if eq $values.database.kind "sqlite" }}
- { name: EVERGRANT__STORE__URL, value: "sqlite:///var/lib/evergrant/evergrant.db" }
{{- else }}
- { name: EVERGRANT__REFRESH__JOURNAL, value: /var/lib/evergrant/journal }
- name: EVERGRANT__STORE__URL
  valueFrom: { secretKeyRef: { name: {{ $values.database.existingSecret }}, key: {{ $values.database.key }} } }
{{- end }}
{{- if $values.redis.existingSecret }}
- name: EVERGRANT__REDIS__URL
  valueFrom: { secretKeyRef: { name: {{ $values.redis.existingSecret }}, key: {{ $values.redis.key }} } }
{{- end }}
{{- if $values.tls.existingSecret }}
- { name: EVERGRANT__SERVER__TLS__CERT, value: /etc/evergrant/tls/tls.crt }
- { name: EVERGRANT__SERVER__TLS__KEY, value: /etc/evergrant/tls/tls.key }
{{- if $values.tls.clientCa }}
- { name: EVERGRANT__SERVER__TLS__CLIENT_CA, value: /etc/evergrant/tls/ca.crt }
{{- end }}
{{- end }}
{{- if $values.inbound.enabled }}
- { name: EVERGRANT__INBOUND__LISTEN, value: {{ printf "%s:%d" $values.listenAddress (int $values.inbound.port) | quote }} }
{{- end }}
{{- if $values.callback.enabled }}
- { name: EVERGRANT__AUTHORIZATION__CALLBACK_LISTEN, value: {{ printf "%s:%d" $values.listenAddress (int $values.callback.port) | quote }} }
{{- end }}
{{- range $values.secretEnv }}
- name: {{ .name }}
  valueFrom: { secretKeyRef: { name: {{ .secret }}, key: {{ .key }} } }
{{- end }}
{{- end }}

{{- define "evergrant.mounts" -}}
- { name: config, mountPath: /etc/evergrant/config, readOnly: true }
- { name: state, mountPath: /var/lib/evergrant }
{{- if .Values.providers }}
- { name: providers, mountPath: /etc/evergrant/providers.d, readOnly: true }
{{- end }}
{{- if .Values.sealingKeys.existingSecret }}
- { name: keys, mountPath: /etc/evergrant/keys, readOnly: true }
{{- end }}
{{- if .Values.tls.existingSecret }}
- { name: tls, mountPath: /etc/evergrant/tls, readOnly: true }
{{- end }}
{{- if .Values.kubernetesIssuer.enabled }}
- { name: issuer, mountPath: /etc/evergrant/issuer, readOnly: true }
{{- end }}
{{- range .Values.secretFiles }}
- { name: secret-{{ .name }}, mountPath: /etc/evergrant/secrets/{{ .name }}, readOnly: true }
{{- end }}
{{- end }}

{{/* Takes the root, and the names of the ConfigMaps of this component as config and providers. */}}
{{- define "evergrant.volumes" -}}
{{- $values := .root.Values -}}
- name: config
  configMap: { name: {{ .config }} }
{{- if $values.providers }}
- name: providers
  configMap: { name: {{ .providers }} }
{{- end }}
{{- if $values.sealingKeys.existingSecret }}
- name: keys
  secret: { secretName: {{ $values.sealingKeys.existingSecret }}, defaultMode: 0440 }
{{- end }}
{{- if $values.tls.existingSecret }}
- name: tls
  secret: { secretName: {{ $values.tls.existingSecret }}, defaultMode: 0440 }
{{- end }}
{{- if $values.kubernetesIssuer.enabled }}
# What it takes to ask the API server for its keys, and nothing more: the service account has no role.
- name: issuer
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken: { path: token, expirationSeconds: 3600 }
      - configMap: { name: kube-root-ca.crt, items: [{ key: ca.crt, path: ca.crt }] }
{{- end }}
{{- range $values.secretFiles }}
- name: secret-{{ .name }}
  secret: { secretName: {{ .secret }}, defaultMode: 0440 }
{{- end }}
{{- end }}

{{- define "evergrant.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "evergrant.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{- define "evergrant.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
