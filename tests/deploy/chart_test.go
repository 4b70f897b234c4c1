package deploy

import (
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
)

var scenarios = []string{"minimal", "production", "everything", "sqlite"}

func TestEveryDocumentIsOfKubernetesOwnTypesAndPointsSomewhere(t *testing.T) {
	for _, name := range scenarios {
		t.Run(name, func(t *testing.T) {
			for _, breach := range rendered(t, name).breaches() {
				t.Error(breach)
			}
		})
	}
}

func TestTheChartRendersWhatTheScenarioAsksFor(t *testing.T) {
	kinds := func(name string) []string {
		var found []string
		for kind := range rendered(t, name).kindsAndNames {
			found = append(found, kind)
		}
		slices.Sort(found)
		return found
	}
	expect(t, kinds("sqlite"), "ConfigMap prod-evergrant", "Service prod-evergrant", "Service prod-evergrant-replicas",
		"StatefulSet prod-evergrant")
	expect(t, kinds("minimal"), "ConfigMap prod-evergrant", "ConfigMap prod-evergrant-migrate", "Job prod-evergrant-migrate",
		"NetworkPolicy prod-evergrant", "NetworkPolicy prod-evergrant-migrate", "PodDisruptionBudget prod-evergrant",
		"Service prod-evergrant", "Service prod-evergrant-replicas", "ServiceAccount prod-evergrant", "StatefulSet prod-evergrant")
	expect(t, kinds("everything"), "ConfigMap tokens", "ConfigMap tokens-migrate", "ConfigMap tokens-migrate-providers", "ConfigMap tokens-providers",
		"HorizontalPodAutoscaler tokens", "Job tokens-migrate", "NetworkPolicy tokens", "NetworkPolicy tokens-migrate",
		"PodDisruptionBudget tokens", "PrometheusRule tokens", "Service tokens", "Service tokens-replicas",
		"ServiceAccount tokens-account", "ServiceMonitor tokens", "StatefulSet tokens")
}

func TestPodsTakeTheSecretsThatAreNamedAndNoOthers(t *testing.T) {
	named := map[string][]string{
		"minimal":    {"evergrant-database", "evergrant-keys"},
		"production": {"evergrant-database", "evergrant-keys", "evergrant-redis", "google-client", "slack"},
		"everything": {"acme-client", "evergrant-database", "evergrant-keys", "evergrant-redis", "evergrant-tls", "registry", "slack"},
		"sqlite":     nil,
	}
	for _, name := range scenarios {
		for _, pod := range rendered(t, name).pods() {
			expect(t, pod.secrets(), named[name]...)
		}
	}
}

func TestProbesAreByGrpcUnlessThePortSpeaksTls(t *testing.T) {
	plain := rendered(t, "minimal").statefulSets[0].Spec.Template.Spec.Containers[0]
	for _, probe := range []*core.Probe{plain.StartupProbe, plain.ReadinessProbe} {
		if probe.GRPC == nil || probe.GRPC.Port != 7070 || probe.GRPC.Service != nil {
			t.Errorf("it must ask for the whole server: %v", probe)
		}
	}
	// A server without its database is NOT_SERVING and must not be killed for it.
	if service := plain.LivenessProbe.GRPC.Service; service == nil || *service != "liveness" {
		t.Errorf("liveness asks for %v", service)
	}

	secure := rendered(t, "everything").statefulSets[0].Spec.Template.Spec.Containers[0]
	if secure.ReadinessProbe.HTTPGet.Path != "/readyz" || secure.LivenessProbe.HTTPGet.Path != "/livez" {
		t.Errorf("with TLS it asks %v and %v", secure.ReadinessProbe, secure.LivenessProbe)
	}
}

func TestTheMigrationRunsBeforeTheReleaseWithTheSameImageAndConfiguration(t *testing.T) {
	for _, name := range []string{"minimal", "production", "everything"} {
		all := rendered(t, name)
		server, migration := all.pods()[0].container(), all.pods()[1].container()
		expect(t, migration.Args, "migrate")
		if server.Image != migration.Image {
			t.Errorf("%s migrates with %s and serves with %s", name, migration.Image, server.Image)
		}
		if hook := all.jobs[0].Annotations["helm.sh/hook"]; hook != "pre-install,pre-upgrade" {
			t.Errorf("%s migrates at %q", name, hook)
		}
		// It may wait for two minutes for a table that is in use; tests/e2e/upgrade.rs runs it beside replicas that serve.
		job := all.jobs[0].Spec
		if tries := int64(*job.BackoffLimit) + 1; *job.ActiveDeadlineSeconds < tries*120 {
			t.Errorf("%s gives %d tries to migrate %d s", name, tries, *job.ActiveDeadlineSeconds)
		}
		var texts []string
		for _, configMap := range all.configMaps {
			if text, ok := configMap.Data["evergrant.toml"]; ok {
				texts = append(texts, text)
			}
		}
		if len(texts) != 2 || texts[0] != texts[1] {
			t.Errorf("%s: configurations differ: %q", name, texts)
		}
	}
}

func TestProvidersArePublicAddressesUnlessThePrivateOnesAreNamed(t *testing.T) {
	blocks := func(name string) (open []string, closed []string) {
		for _, policy := range rendered(t, name).policies {
			for _, rule := range policy.Spec.Egress {
				for _, peer := range rule.To {
					if rule.Ports[0].Port.IntVal == 443 {
						open, closed = append(open, peer.IPBlock.CIDR), append(closed, peer.IPBlock.Except...)
					}
				}
			}
		}
		return open, closed
	}
	open, closed := blocks("minimal")
	expect(t, open, "0.0.0.0/0", "::/0")
	for _, private := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"} {
		if !slices.Contains(closed, private) {
			t.Errorf("%s is open", private)
		}
	}
	open, _ = blocks("everything")
	expect(t, open, "0.0.0.0/0", "::/0", "10.1.2.0/24", "fd00:1::/64")
}

func TestAChangedConfigurationRollsTheReplicas(t *testing.T) {
	checksum := func(over ...string) string {
		return renderedWith(t, "minimal", over...).statefulSets[0].Spec.Template.Annotations["checksum/config"]
	}
	before := checksum()
	for _, over := range []string{
		`config: "[[callers]]\nname = \"other\""`,
		`sealingKeys: { ids: [k1, k2], active: k2 }`,
		`providers: { x.toml: "name = \"x\"" }`,
	} {
		if checksum(over) == before {
			t.Errorf("%s does not show", over)
		}
	}
	if checksum("replicas: 4") != before {
		t.Error("replicas alone show")
	}
}

func TestTheNotesNameTheNextStep(t *testing.T) {
	for _, name := range scenarios {
		values, err := valuesOf(name)
		if err != nil {
			t.Fatal(err)
		}
		text, err := notes(values)
		if err != nil {
			t.Fatal(err)
		}
		set := rendered(t, name).statefulSets[0]
		for _, part := range []string{"rollout status statefulset/" + set.Name + "\n", "dns:///" + set.Spec.ServiceName + ".tokens:7070", "evergrant credential create"} {
			if !strings.Contains(text, part) {
				t.Errorf("%s: %q is missing in\n%s", name, part, text)
			}
		}
	}
}

func rendered(t *testing.T, name string) *objects {
	t.Helper()
	return renderedWith(t, name)
}

func renderedWith(t *testing.T, name string, over ...string) *objects {
	t.Helper()
	values, err := valuesOf(name, over...)
	if err != nil {
		t.Fatal(err)
	}
	documents, err := render(values)
	if err != nil {
		t.Fatal(err)
	}
	all, err := decode(documents)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func expect(t *testing.T, found []string, expected ...string) {
	t.Helper()
	if !slices.Equal(found, expected) {
		t.Errorf("found\n\t%s\nand not\n\t%s", strings.Join(found, "\n\t"), strings.Join(expected, "\n\t"))
	}
}
