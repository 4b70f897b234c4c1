package deploy

import (
	"bufio"
	"cmp"
	"encoding/base64"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
)

// TestTheProgramAcceptsWhatPodsGiveIt runs `evergrant config check` with the environment and files that each pod has.
func TestTheProgramAcceptsWhatPodsGiveIt(t *testing.T) {
	for _, name := range scenarios {
		all := rendered(t, name)
		for _, pod := range all.pods() {
			t.Run(name+"/"+pod.container().Args[0], func(t *testing.T) {
				root := t.TempDir()
				writeVolumes(t, all, pod, root)
				checkConfig(t, root, environmentOf(pod, root))
			})
		}
	}
}

func TestTheProgramAcceptsTheConfigurationOfTheTrial(t *testing.T) {
	project := trial(t)
	for _, name := range []string{"evergrant-1", "evergrant-2"} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			service := project.Services[name]
			for _, config := range service.Configs {
				write(t, root, config.Target, read(t, project.Configs[config.Source].File))
			}
			write(t, root, "/etc/evergrant/keys/k1", sealingKey)
			var environment []string
			for name, value := range service.Environment {
				environment = append(environment, name+"="+moved(*value, root))
			}
			checkConfig(t, root, environment)
		})
	}
}

func TestTheProgramAcceptsTheEnvironmentOfTheUnit(t *testing.T) {
	root := t.TempDir()
	write(t, root, "/etc/evergrant/evergrant.toml", "")
	for name, secret := range map[string]string{"database-url": "postgres://u:p@db/x", "redis-url": "redis://redis", "k1": sealingKey} {
		write(t, root, "/credentials/"+name, secret)
	}
	unit := readUnit(t, unitPath, unitPath+".d/postgres.conf")
	var environment []string
	for _, value := range unit["Service"]["Environment"] {
		environment = append(environment, moved(strings.ReplaceAll(value, "%d", root+"/credentials"), root))
	}
	checkConfig(t, root, environment)
}

func TestTheSandboxSaysOfItselfWhatTheTrialHas(t *testing.T) {
	sandbox := exec.Command(program(t), "sandbox", "--listen", "127.0.0.1:0")
	output, err := sandbox.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := sandbox.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = sandbox.Process.Kill()
		_ = sandbox.Wait()
	}()
	ready, err := bufio.NewReader(output).ReadString('\n')
	_, address, ok := strings.Cut(strings.TrimSpace(ready), "http=")
	if err != nil || !ok {
		t.Fatalf("%v: %q", err, ready)
	}
	answer, err := http.Get("http://" + address + "/control/catalogue")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, entry, _ := strings.Cut(read(t, top+"/deploy/compose/sandbox.toml"), "\n")
	if now := strings.ReplaceAll(string(said), address, "127.0.0.1:7072"); now != entry {
		t.Errorf("it says now\n%s", now)
	}
}

var sealingKey = base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))

// moved puts the folders of a container below root.
func moved(text, root string) string {
	return strings.NewReplacer("/etc/evergrant/", root+"/etc/evergrant/", "/var/lib/evergrant", root+"/var/lib/evergrant").Replace(text)
}

// writeVolumes puts below root what the pod has mounted, with a sample for each Secret.
func writeVolumes(t *testing.T, all *objects, pod pod, root string) {
	t.Helper()
	volumes := map[string]core.Volume{}
	for _, volume := range pod.spec.Volumes {
		volumes[volume.Name] = volume
	}
	for _, mount := range pod.container().VolumeMounts {
		files := map[string]string{}
		switch volume := volumes[mount.Name]; {
		case volume.ConfigMap != nil:
			for _, configMap := range all.configMaps {
				if configMap.Name == volume.ConfigMap.Name {
					files = configMap.Data
				}
			}
		case mount.Name == "keys":
			files = map[string]string{"k1": sealingKey, "2031-01": sealingKey, "2031-02": sealingKey}
		case mount.Name == "tls":
			certificate, key := selfSigned(t)
			files = map[string]string{"tls.crt": certificate, "ca.crt": certificate, "tls.key": key}
		case mount.Name == "issuer":
			certificate, _ := selfSigned(t)
			files = map[string]string{"ca.crt": certificate, "token": "t"}
		case volume.Secret != nil:
			files = map[string]string{"client-secret": "s"}
		}
		for name, text := range files {
			write(t, root, mount.MountPath+"/"+name, text)
		}
	}
}

func environmentOf(pod pod, root string) []string {
	secrets := map[string]string{"EVERGRANT__STORE__URL": "postgres://u:p@db/x", "EVERGRANT__REDIS__URL": "redis://redis"}
	var environment []string
	for name, value := range pod.env() {
		environment = append(environment, name+"="+moved(value, root))
	}
	for _, variable := range pod.container().Env {
		if variable.ValueFrom != nil {
			environment = append(environment, variable.Name+"="+cmp.Or(secrets[variable.Name], "s"))
		}
	}
	return environment
}

func checkConfig(t *testing.T, root string, environment []string) {
	t.Helper()
	if err := os.MkdirAll(root+"/var/lib/evergrant", 0o700); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program(t), "config", "check")
	command.Dir, command.Env = root, environment
	answer, err := command.CombinedOutput()
	if err != nil || strings.TrimSpace(string(answer)) != "ok" {
		slices.Sort(environment)
		t.Errorf("%v: %s\n%s", err, answer, strings.Join(environment, "\n"))
	}
}

// program answers where the built program is; without it a test is skipped.
func program(t *testing.T) string {
	t.Helper()
	path := os.Getenv("EVERGRANT_BIN")
	if path == "" {
		t.Skip("EVERGRANT_BIN does not name the program")
	}
	return path
}

func write(t *testing.T, root, path, text string) {
	t.Helper()
	path = filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	// Paths that a configuration names move with its files.
	if err := os.WriteFile(path, []byte(moved(text, root)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
