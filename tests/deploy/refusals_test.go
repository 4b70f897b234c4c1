package deploy

import (
	"strings"
	"testing"
)

func TestWrongValuesAreRefusedByTheirName(t *testing.T) {
	for _, wrong := range []struct{ scenario, over, says string }{
		{"minimal", "replica: 3", "replica"},
		{"minimal", "image: { registry: x }", "registry"},
		{"minimal", "database: { password: x }", "password"},
		{"minimal", "probes: { liveness: { path: /livez } }", "path"},
		{"minimal", "networkPolicy: { clients: [{ namespace: x }] }", "namespace"},
		{"minimal", "networkPolicy: { clients: [{}] }", "clients"},
		{"minimal", "replicas: 0", "replicas"},
		{"minimal", "replicas: three", "replicas"},
		{"minimal", "database: { kind: mysql }", "kind"},
		{"minimal", "image: { digest: latest }", "digest"},
		{"minimal", "networkPolicy: { privateProviders: [intranet] }", "privateProviders"},
		{"minimal", "secretEnv: [{ name: X, secret: x }]", "key"},
		{"minimal", "secretEnv: [{ name: X-Y, secret: x, key: y }]", "secretEnv"},
		{"minimal", "providers: { acme: x }", "acme"},
		{"minimal", "service: { type: ExternalName }", "type"},
		{"minimal", "persistence: { accessModes: [ReadWriteMany] }", "accessModes"},
		{"minimal", "image: { repository: '' }", "image.repository is required"},
		{"minimal", "config: ''", "[[callers]]"},
		{"minimal", "database: { existingSecret: '' }", "database.existingSecret is required"},
		{"minimal", "sealingKeys: { existingSecret: '' }", "sealingKeys.existingSecret is required"},
		{"minimal", "sealingKeys: { active: k2 }", "sealingKeys.active must be one of"},
		{"minimal", "persistence: { enabled: false }", "a crash would lose refresh tokens"},
		{"minimal", "inbound: { enabled: true, port: 7071 }", "inbound.port is taken"},
		{"minimal", "{ inbound: { enabled: true, port: 9000 }, callback: { enabled: true, port: 9000 } }", "callback.port is taken"},
		{"minimal", "autoscaling: { enabled: true, minReplicas: 10 }", "must not be above"},
		{"sqlite", "replicas: 2", "sqlite is for one replica"},
		{"sqlite", "autoscaling: { enabled: true }", "sqlite is for one replica"},
		{"sqlite", "persistence: { enabled: false }", "sqlite needs persistence"},
	} {
		values, err := valuesOf(wrong.scenario, wrong.over)
		if err != nil {
			t.Fatal(err)
		}
		_, err = render(values)
		if err == nil {
			t.Errorf("%s is accepted", wrong.over)
		} else if !strings.Contains(err.Error(), wrong.says) {
			t.Errorf("%s: %q is not said in: %v", wrong.over, wrong.says, err)
		}
	}
}

func TestABrokenReferenceIsFound(t *testing.T) {
	for _, broken := range []struct{ from, to, says string }{
		{"targetPort: admin", "targetPort: metrics", "goes to metrics"},
		{"clusterIP: None", "clusterIP: 10.0.0.1", "not headless"},
		{"grpc: { port: 7070 }", "grpc: { port: 7072 }", "probes port 7072"},
		{"port: admin, path", "port: metrics, path", "scrapes port metrics"},
		{"app.kubernetes.io/component: replicas", "app.kubernetes.io/component: server", "selects 2 Services"},
		{"configMap: { name: prod-evergrant }", "configMap: { name: prod }", "no ConfigMap prod"},
		{"name: keys, mountPath", "name: key, mountPath", "the volume key,"},
		{"mountPath: /var/lib/evergrant", "mountPath: /data", "where nothing is mounted"},
		{"serviceAccountName: prod-evergrant", "serviceAccountName: prod", "service account prod"},
		{"terminationGracePeriodSeconds: 45", "terminationGracePeriodSeconds: 30", "too short"},
		{"readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "its root can be written"},
		{"defaultMode: 0440", "defaultMode: 440", "can be read by others"},
		{"drop: [ALL]", "drop: [NET_RAW]", "keeps capabilities"},
		{"automountServiceAccountToken: false", "automountServiceAccountToken: true", "token of the API server"},
		{"port: grpc, protocol", "port: http, protocol", "opens a port"},
	} {
		values, err := valuesOf("production")
		if err != nil {
			t.Fatal(err)
		}
		documents, err := render(values)
		if err != nil {
			t.Fatal(err)
		}
		changed := 0
		for i, document := range documents {
			changed += strings.Count(document, broken.from)
			documents[i] = strings.ReplaceAll(document, broken.from, broken.to)
		}
		if changed == 0 {
			t.Errorf("%q is nowhere", broken.from)
			continue
		}
		all, err := decode(documents)
		said := ""
		if err != nil {
			said = err.Error()
		} else {
			said = strings.Join(all.breaches(), "\n")
		}
		if said == "" || !strings.Contains(said, broken.says) {
			t.Errorf("%s instead of %s: %q is not said in %q", broken.to, broken.from, broken.says, said)
		}
	}
}

func TestAFieldThatKubernetesDoesNotHaveIsRefused(t *testing.T) {
	for _, document := range []string{
		"apiVersion: v1\nkind: Service\nmetadata: { name: x }\nspec: { clusterIp: None }",
		"apiVersion: v1\nkind: Service\nmetadata: { name: x }\nspec: { headless: true }",
		"apiVersion: v1\nkind: Service\nmetadata: { name: x, name: y }",
		"apiVersion: v1\nkind: Service\nmetadata: { name: x }\nspec: { ports: [{ port: http }] }",
		"apiVersion: v1\nkind: Secret\nmetadata: { name: x }",
		"apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata: { name: x }\nspec: { groups: [{ name: x, alerts: [] }] }",
	} {
		if _, err := decode([]string{document}); err == nil {
			t.Errorf("accepted:\n%s", document)
		}
	}
}
