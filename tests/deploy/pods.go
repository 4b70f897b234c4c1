package deploy

import (
	"slices"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// pod is a pod template and what it comes from.
type pod struct {
	owner  string
	hook   bool
	labels labels.Set
	spec   core.PodSpec
	claims []string
}

func (all *objects) pods() []pod {
	var found []pod
	for _, set := range all.statefulSets {
		var claims []string
		for _, claim := range set.Spec.VolumeClaimTemplates {
			claims = append(claims, claim.Name)
		}
		found = append(found, pod{"StatefulSet " + set.Name, false, set.Spec.Template.Labels, set.Spec.Template.Spec, claims})
	}
	for _, job := range all.jobs {
		found = append(found, pod{"Job " + job.Name, isHook(job), job.Spec.Template.Labels, job.Spec.Template.Spec, nil})
	}
	return found
}

// selected answers the pods that a selector matches; one that is empty or malformed matches none.
func (all *objects) selected(selector *meta.LabelSelector) []pod {
	matcher, err := meta.LabelSelectorAsSelector(selector)
	if err != nil || matcher.Empty() {
		return nil
	}
	var found []pod
	for _, pod := range all.pods() {
		if matcher.Matches(pod.labels) {
			found = append(found, pod)
		}
	}
	return found
}

func (p pod) container() core.Container {
	return p.spec.Containers[0]
}

func (p pod) hasPort(name string) bool {
	return slices.ContainsFunc(p.container().Ports, func(port core.ContainerPort) bool { return port.Name == name })
}

func (p pod) hasPortNumber(number int32) bool {
	return slices.ContainsFunc(p.container().Ports, func(port core.ContainerPort) bool { return port.ContainerPort == number })
}

// secrets answers the names of all Secrets that the pod needs.
func (p pod) secrets() []string {
	var found []string
	for _, secret := range p.spec.ImagePullSecrets {
		found = append(found, secret.Name)
	}
	for _, volume := range p.spec.Volumes {
		if volume.Secret != nil {
			found = append(found, volume.Secret.SecretName)
		}
	}
	for _, variable := range p.container().Env {
		if variable.ValueFrom != nil && variable.ValueFrom.SecretKeyRef != nil {
			found = append(found, variable.ValueFrom.SecretKeyRef.Name)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// env answers the variables with a value of their own.
func (p pod) env() map[string]string {
	found := map[string]string{}
	for _, variable := range p.container().Env {
		if variable.ValueFrom == nil {
			found[variable.Name] = variable.Value
		}
	}
	return found
}

func isHook(object meta.Object) bool {
	return object.GetAnnotations()["helm.sh/hook"] != ""
}
