package deploy

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

const composePath = top + "/deploy/compose/compose.yaml"

func TestTheTrialIsTwoReplicasOnOneDatabaseRedisAndSandbox(t *testing.T) {
	project := trial(t)
	expect(t, project.ServiceNames(), "evergrant-1", "evergrant-2", "postgres", "redis", "sandbox", "sealing-key")
	one, two := project.Services["evergrant-1"], project.Services["evergrant-2"]
	for _, name := range []string{"EVERGRANT__STORE__URL", "EVERGRANT__REDIS__URL"} {
		if *one.Environment[name] != *two.Environment[name] {
			t.Errorf("%s differs", name)
		}
	}
	for _, name := range []string{"EVERGRANT__SERVER__LISTEN", "EVERGRANT__SERVER__ADMIN_LISTEN"} {
		if *one.Environment[name] == *two.Environment[name] {
			t.Errorf("%s is the same, in one network", name)
		}
	}
	state := func(service types.ServiceConfig) string {
		at := slices.IndexFunc(service.Volumes, func(volume types.ServiceVolumeConfig) bool { return volume.Target == "/var/lib/evergrant" })
		return service.Volumes[at].Source
	}
	if state(one) == state(two) {
		t.Error("replicas share a journal")
	}
}

func TestTheTrialReachesWhatItNames(t *testing.T) {
	project := trial(t)
	published := map[string]bool{}
	for _, port := range project.Services["sandbox"].Ports {
		published["0.0.0.0:"+port.Published] = true
		if port.HostIP != "127.0.0.1" {
			t.Errorf("port %s is open to the world", port.Published)
		}
	}
	for _, name := range []string{"evergrant-1", "evergrant-2"} {
		service := project.Services[name]
		if service.NetworkMode != "service:sandbox" {
			t.Errorf("%s does not reach the sandbox by loopback", name)
		}
		for _, variable := range []string{"EVERGRANT__SERVER__LISTEN", "EVERGRANT__SERVER__ADMIN_LISTEN"} {
			if address := *service.Environment[variable]; !published[address] {
				t.Errorf("%s of %s is not published", address, name)
			}
		}
		if !service.ReadOnly || !slices.Equal(service.CapDrop, []string{"ALL"}) {
			t.Errorf("%s is not confined", name)
		}
	}
	database := project.Services["postgres"].Environment
	url := "postgres://" + *database["POSTGRES_USER"] + ":" + *database["POSTGRES_PASSWORD"] + "@postgres:5432/" + *database["POSTGRES_DB"]
	if named := *project.Services["evergrant-1"].Environment["EVERGRANT__STORE__URL"]; named != url {
		t.Errorf("%s is not %s", named, url)
	}
}

func TestAKeyThatComposeDoesNotKnowIsRefused(t *testing.T) {
	text := strings.Replace(read(t, composePath), "read_only: true", "readonly: true", 1)
	if _, err := load([]byte(text)); err == nil {
		t.Error("readonly is accepted")
	}
}

// trial reads the compose file as docker compose does, with its merges, its schema and its checks.
func trial(t *testing.T) *types.Project {
	t.Helper()
	project, err := load([]byte(read(t, composePath)))
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func load(text []byte) (*types.Project, error) {
	here, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	details := types.ConfigDetails{
		WorkingDir:  here + "/" + top + "/deploy/compose",
		ConfigFiles: []types.ConfigFile{{Filename: "compose.yaml", Content: text}},
	}
	return loader.LoadWithContext(context.Background(), details, func(options *loader.Options) {
		options.SetProjectName("evergrant-trial", true)
	})
}
