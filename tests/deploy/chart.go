// Package deploy holds the checks of what deploy/ ships. None of them needs a cluster or a container engine.
package deploy

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"sigs.k8s.io/yaml"
)

const (
	top       = "../.."
	chartPath = top + "/deploy/helm/evergrant"
	kubeFloor = "v1.30.0"
	release   = "prod"
	namespace = "tokens"
)

// render answers the chart's documents for values, as `helm install prod` makes them: with Helm's own engine, its
// check of values.schema.json, and an error where a template asks for a value that is not there.
func render(values map[string]any) ([]string, error) {
	chart, err := loader.LoadDir(chartPath)
	if err != nil {
		return nil, err
	}
	capabilities := *chartutil.DefaultCapabilities
	capabilities.KubeVersion = chartutil.KubeVersion{Version: kubeFloor, Major: "1", Minor: "30"}
	if !chartutil.IsCompatibleRange(chart.Metadata.KubeVersion, kubeFloor) {
		return nil, fmt.Errorf("the chart does not accept Kubernetes %s", kubeFloor)
	}
	options := chartutil.ReleaseOptions{Name: release, Namespace: namespace, Revision: 1, IsInstall: true}
	full, err := chartutil.ToRenderValues(chart, values, options, &capabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Engine{Strict: true}.Render(chart, full)
	if err != nil {
		return nil, err
	}
	var documents []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text := files[name]
		if path.Ext(name) == ".yaml" && strings.TrimSpace(text) != "" {
			documents = append(documents, text)
		}
	}
	return documents, nil
}

// notes answers what Helm tells after an installation.
func notes(values map[string]any) (string, error) {
	chart, err := loader.LoadDir(chartPath)
	if err != nil {
		return "", err
	}
	options := chartutil.ReleaseOptions{Name: release, Namespace: namespace, Revision: 1, IsInstall: true}
	full, err := chartutil.ToRenderValues(chart, values, options, chartutil.DefaultCapabilities)
	if err != nil {
		return "", err
	}
	files, err := engine.Engine{Strict: true}.Render(chart, full)
	return files[path.Join(chart.Name(), "templates", "NOTES.txt")], err
}

// valuesOf reads a values file of testdata, and merges others over it.
func valuesOf(name string, over ...string) (map[string]any, error) {
	text, err := os.ReadFile("testdata/values/" + name + ".yaml")
	if err != nil {
		return nil, err
	}
	var values map[string]any
	if err := yaml.UnmarshalStrict(bytes.TrimSpace(text), &values); err != nil {
		return nil, err
	}
	for _, text := range over {
		var more map[string]any
		if err := yaml.UnmarshalStrict([]byte(text), &more); err != nil {
			return nil, err
		}
		values = chartutil.MergeTables(more, values)
	}
	return values, nil
}
