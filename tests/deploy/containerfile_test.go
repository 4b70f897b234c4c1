package deploy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

const containerfilePath = top + "/deploy/Containerfile"

func TestTheImageRunsTheProgramAsNobodyOnTwoPorts(t *testing.T) {
	stages := stagesOf(t)
	image := stages[len(stages)-1]
	if !strings.HasPrefix(image.BaseName, "gcr.io/distroless/cc-") {
		t.Errorf("it is made of %s", image.BaseName)
	}
	expect(t, commands[*instructions.UserCommand](image)[0], "65532:65532")
	expect(t, commands[*instructions.ExposeCommand](image)[0], "7070", "7071")
	expect(t, commands[*instructions.EntrypointCommand](image)[0], "/usr/bin/evergrant")
	expect(t, commands[*instructions.WorkdirCommand](image)[0], "/var/lib/evergrant")
	if runs := commands[*instructions.RunCommand](image); len(runs) > 0 {
		t.Errorf("an image without a shell cannot run %s", runs)
	}
}

func TestWhatTheImageCopiesWasMade(t *testing.T) {
	stages := stagesOf(t)
	build, image := stages[0], stages[1]
	var made []string
	for _, run := range commands[*instructions.RunCommand](build) {
		made = append(made, run...)
	}
	for _, copied := range image.Commands {
		copied, ok := copied.(*instructions.CopyCommand)
		if !ok {
			continue
		}
		if copied.From != build.Name {
			t.Errorf("it copies from %q, which is no stage", copied.From)
		}
		source := strings.TrimSuffix(copied.SourcePaths[0], "/")
		if !strings.Contains(strings.Join(made, " "), " "+source) {
			t.Errorf("%s is copied and never made", source)
		}
	}
	if !strings.Contains(strings.Join(made, " "), "cargo build --profile dist --locked") {
		t.Error("the program is not built for distribution")
	}
}

func TestTheBuildGetsAllItNeeds(t *testing.T) {
	var allowed []string
	for line := range strings.Lines(read(t, containerfilePath+".dockerignore")) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "!"); ok {
			allowed = append(allowed, path)
			if _, err := os.Stat(filepath.Join(top, path)); err != nil {
				t.Error(err)
			}
		}
	}
	for _, needed := range []string{"Cargo.toml", "Cargo.lock", "LICENSE", "build.rs", "src", "crates", "proto", "benches", "tests/e2e/main.rs"} {
		if !slices.Contains(allowed, needed) {
			t.Errorf("%s is left out", needed)
		}
	}
}

func stagesOf(t *testing.T) []instructions.Stage {
	t.Helper()
	parsed, err := parser.Parse(strings.NewReader(read(t, containerfilePath)))
	if err != nil {
		t.Fatal(err)
	}
	stages, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(parsed.Warnings) > 0 || len(stages) != 2 {
		t.Fatalf("%d stages, and warnings %v", len(stages), parsed.Warnings)
	}
	return stages
}

// commands answers the words of each command of one kind.
func commands[T instructions.Command](stage instructions.Stage) [][]string {
	var found [][]string
	for _, command := range stage.Commands {
		if _, ok := command.(T); !ok {
			continue
		}
		switch command := command.(type) {
		case *instructions.UserCommand:
			found = append(found, []string{command.User})
		case *instructions.ExposeCommand:
			found = append(found, command.Ports)
		case *instructions.EntrypointCommand:
			found = append(found, command.CmdLine)
		case *instructions.WorkdirCommand:
			found = append(found, []string{command.Path})
		case *instructions.RunCommand:
			found = append(found, command.CmdLine)
		}
	}
	return found
}
