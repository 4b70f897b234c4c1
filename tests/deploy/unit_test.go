package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const unitPath = top + "/deploy/systemd/evergrant.service"

func TestTheUnitIsConfinedAndEndsWithTheProgram(t *testing.T) {
	service := readUnit(t, unitPath)["Service"]
	for key, value := range map[string]string{
		"Type": "exec", "DynamicUser": "yes", "StateDirectory": "evergrant", "WorkingDirectory": "%S/evergrant",
		"NoNewPrivileges": "yes", "ProtectSystem": "strict", "CapabilityBoundingSet": "", "MemoryDenyWriteExecute": "yes",
		"Restart": "on-failure", "RestartPreventExitStatus": "64",
	} {
		expect(t, service[key], value)
	}
	if !slices.Contains(service["SystemCallFilter"], "@system-service") {
		t.Error("it may make any system call")
	}
	// server.shutdown_timeout is 25 s unless it is configured, and the program takes some seconds more.
	stop, err := time.ParseDuration(service["TimeoutStopSec"][0])
	if err != nil || stop < 30*time.Second {
		t.Errorf("it is killed after %s", stop)
	}
}

func TestSecretsOfTheUnitAreCredentials(t *testing.T) {
	service := readUnit(t, unitPath+".d/postgres.conf")["Service"]
	var loaded []string
	for _, credential := range service["LoadCredential"] {
		name, _, _ := strings.Cut(credential, ":")
		loaded = append(loaded, name)
	}
	for _, variable := range service["Environment"] {
		name, value, _ := strings.Cut(variable, "=")
		if credential, ok := strings.CutPrefix(value, "%d/"); ok {
			if !slices.Contains(loaded, credential) {
				t.Errorf("%s names %s, which is not loaded", name, credential)
			}
		}
	}
	expect(t, loaded, "database-url", "redis-url", "k1")
}

func TestSystemdUnderstandsTheUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze here")
	}
	folder := t.TempDir()
	program := filepath.Join(folder, "evergrant")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"evergrant.service": unitPath, "evergrant.service.d/postgres.conf": unitPath + ".d/postgres.conf"} {
		target := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(read(t, path), "/usr/bin/evergrant", program)
		if err := os.WriteFile(target, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	answer, err := exec.Command(analyze, "verify", "--man=no", filepath.Join(folder, "evergrant.service")).CombinedOutput()
	if err != nil || strings.Contains(string(answer), folder) {
		t.Errorf("%v: %s", err, answer)
	}
}

// readUnit answers section, key and the values of the key in the order of files and lines.
func readUnit(t *testing.T, paths ...string) map[string]map[string][]string {
	t.Helper()
	sections := map[string]map[string][]string{}
	for _, path := range paths {
		section := ""
		for line := range strings.Lines(read(t, path)) {
			line = strings.TrimSpace(line)
			if line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			if strings.HasPrefix(line, "[") {
				section = strings.Trim(line, "[]")
				if sections[section] == nil {
					sections[section] = map[string][]string{}
				}
				continue
			}
			key, value, ok := strings.Cut(line, "=")
			if !ok || section == "" {
				t.Fatalf("%s: %q is no setting", path, line)
			}
			sections[section][key] = append(sections[section][key], value)
		}
	}
	return sections
}
