package deploy

import (
	"errors"
	"fmt"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// objects are the documents of one rendering in Kubernetes' own types.
type objects struct {
	statefulSets  []*apps.StatefulSet
	jobs          []*batch.Job
	services      []*core.Service
	accounts      []*core.ServiceAccount
	configMaps    []*core.ConfigMap
	policies      []*networking.NetworkPolicy
	budgets       []*policy.PodDisruptionBudget
	autoscalers   []*autoscaling.HorizontalPodAutoscaler
	monitors      []*monitoring.ServiceMonitor
	rules         []*monitoring.PrometheusRule
	everything    []meta.Object
	kindsAndNames map[string]bool
}

// decode takes each document strictly: a field that the type does not have, in this very case, is an error, and so are
// a field that is given twice and a kind that is not listed here.
func decode(documents []string) (*objects, error) {
	all := &objects{kindsAndNames: map[string]bool{}}
	for _, document := range documents {
		if err := all.add(document); err != nil {
			return nil, fmt.Errorf("%w\n%s", err, document)
		}
	}
	return all, nil
}

func (all *objects) add(document string) error {
	var kind meta.TypeMeta
	if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
		return err
	}
	var err error
	switch kind.APIVersion + " " + kind.Kind {
	case "apps/v1 StatefulSet":
		err = into(all, kind.Kind, document, &all.statefulSets)
	case "batch/v1 Job":
		err = into(all, kind.Kind, document, &all.jobs)
	case "v1 Service":
		err = into(all, kind.Kind, document, &all.services)
	case "v1 ServiceAccount":
		err = into(all, kind.Kind, document, &all.accounts)
	case "v1 ConfigMap":
		err = into(all, kind.Kind, document, &all.configMaps)
	case "networking.k8s.io/v1 NetworkPolicy":
		err = into(all, kind.Kind, document, &all.policies)
	case "policy/v1 PodDisruptionBudget":
		err = into(all, kind.Kind, document, &all.budgets)
	case "autoscaling/v2 HorizontalPodAutoscaler":
		err = into(all, kind.Kind, document, &all.autoscalers)
	case "monitoring.coreos.com/v1 ServiceMonitor":
		err = into(all, kind.Kind, document, &all.monitors)
	case "monitoring.coreos.com/v1 PrometheusRule":
		err = into(all, kind.Kind, document, &all.rules)
	default:
		err = fmt.Errorf("%s %s is not expected here", kind.APIVersion, kind.Kind)
	}
	return err
}

func into[T any](all *objects, kind, document string, list *[]*T) error {
	value := new(T)
	if err := decodeStrictly(document, value); err != nil {
		return err
	}
	*list = append(*list, value)
	object, ok := any(value).(meta.Object)
	if !ok {
		return fmt.Errorf("%s has no metadata", kind)
	}
	name := kind + " " + object.GetName()
	if all.kindsAndNames[name] {
		return fmt.Errorf("%s is there twice", name)
	}
	all.kindsAndNames[name] = true
	all.everything = append(all.everything, object)
	return nil
}

func decodeStrictly(document string, value any) error {
	text, err := yaml.YAMLToJSONStrict([]byte(document))
	if err != nil {
		return err
	}
	strict, err := json.UnmarshalStrict(text, value)
	return errors.Join(append(strict, err)...)
}
