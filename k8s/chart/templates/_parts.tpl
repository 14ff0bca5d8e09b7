{{/* The labels by which everything finds the pods. */}}
{{- define "llmbase.labels" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/name: llmbase
{{- end }}

{{- define "llmbase.image" -}}
image: {{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}

{{- define "llmbase.secret" -}}
envFrom:
  - secretRef:
      name: {{ .Values.secretName | default .Release.Name }}
{{- end }}

{{/* Where every pod may go: to the cluster's names. */}}
{{- define "llmbase.names" -}}
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: kube-system
  ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end }}

{{/* What every container may do: next to nothing. */}}
{{- define "llmbase.restricted" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/* What a container that works once takes. */}}
{{- define "llmbase.once" -}}
resources:
  requests: {cpu: 100m, memory: 128Mi}
  limits: {memory: 512Mi}
{{- end }}
