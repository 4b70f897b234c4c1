package deploy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
)

// breaches lists what points nowhere in one rendering, and what a pod lacks of its confinement. The API server would
// accept most of it, and nothing would work.
func (all *objects) breaches() []string {
	found := &list{}
	for _, object := range all.everything {
		found.name(object)
	}
	for _, pod := range all.pods() {
		all.checkPod(found, pod)
		checkConfinement(found, pod)
	}
	all.checkSelectors(found)
	all.checkStatefulSets(found)
	all.checkMonitors(found)
	return found.texts
}

type list struct{ texts []string }

func (l *list) unless(ok bool, format string, arguments ...any) {
	if !ok {
		l.texts = append(l.texts, fmt.Sprintf(format, arguments...))
	}
}

func (l *list) name(object meta.Object) {
	wrong := validation.IsDNS1123Label(object.GetName())
	for key, value := range object.GetLabels() {
		wrong = append(wrong, validation.IsQualifiedName(key)...)
		wrong = append(wrong, validation.IsValidLabelValue(value)...)
	}
	l.unless(len(wrong) == 0, "%s: %s", object.GetName(), strings.Join(wrong, ", "))
}

func (all *objects) checkPod(found *list, pod pod) {
	account := pod.spec.ServiceAccountName
	rendered := all.kindsAndNames["ServiceAccount "+account] && !pod.hook
	found.unless(account == "default" || rendered, "%s: its service account %s is not there by then", pod.owner, account)

	volumes := slices.Clone(pod.claims)
	for _, volume := range pod.spec.Volumes {
		volumes = append(volumes, volume.Name)
		if volume.Secret != nil {
			mode := volume.Secret.DefaultMode
			found.unless(mode != nil && *mode == 0o440, "%s: %s can be read by others", pod.owner, volume.Name)
		}
		if volume.ConfigMap != nil {
			all.checkConfigMap(found, pod, volume.ConfigMap.Name)
		}
	}
	var mounted, paths []string
	for _, mount := range pod.container().VolumeMounts {
		found.unless(slices.Contains(volumes, mount.Name), "%s: mounts the volume %s, which is not there", pod.owner, mount.Name)
		found.unless(!slices.Contains(paths, mount.MountPath), "%s: mounts %s twice", pod.owner, mount.MountPath)
		mounted, paths = append(mounted, mount.Name), append(paths, mount.MountPath)
	}
	for _, volume := range volumes {
		found.unless(slices.Contains(mounted, volume), "%s: the volume %s is not mounted", pod.owner, volume)
	}
	for name, value := range pod.env() {
		for _, folder := range []string{"/etc/evergrant/", "/var/lib/evergrant/"} {
			if at := strings.Index(value, folder); at >= 0 && name != "EVERGRANT__PROVIDERS__DIR" {
				below := func(path string) bool { return strings.HasPrefix(value[at:], path+"/") }
				found.unless(slices.ContainsFunc(paths, below), "%s: %s names %s, where nothing is mounted", pod.owner, name, value)
			}
		}
	}
	for _, probe := range []*core.Probe{pod.container().StartupProbe, pod.container().ReadinessProbe, pod.container().LivenessProbe} {
		checkProbe(found, pod, probe)
	}
}

func (all *objects) checkConfigMap(found *list, pod pod, name string) {
	for _, configMap := range all.configMaps {
		if configMap.Name == name {
			found.unless(isHook(configMap) == pod.hook, "%s: %s is there at another time", pod.owner, name)
			return
		}
	}
	found.unless(false, "%s: there is no ConfigMap %s", pod.owner, name)
}

func checkProbe(found *list, pod pod, probe *core.Probe) {
	switch {
	case probe == nil:
		found.unless(pod.hook, "%s: a probe is missing", pod.owner)
	case probe.GRPC != nil:
		found.unless(pod.hasPortNumber(probe.GRPC.Port), "%s: probes port %d, which no container has", pod.owner, probe.GRPC.Port)
	case probe.HTTPGet != nil:
		found.unless(pod.hasPort(probe.HTTPGet.Port.String()), "%s: probes port %s, which no container has", pod.owner, probe.HTTPGet.Port.String())
	default:
		found.unless(false, "%s: a probe asks nothing", pod.owner)
	}
}

func checkConfinement(found *list, pod pod) {
	security, container := pod.spec.SecurityContext, pod.container().SecurityContext
	yes := func(value *bool) bool { return value != nil && *value }
	no := func(value *bool) bool { return value != nil && !*value }
	found.unless(yes(security.RunAsNonRoot), "%s: may run as root", pod.owner)
	found.unless(security.SeccompProfile != nil && security.SeccompProfile.Type == core.SeccompProfileTypeRuntimeDefault, "%s: has no seccomp profile", pod.owner)
	found.unless(yes(container.ReadOnlyRootFilesystem), "%s: its root can be written", pod.owner)
	found.unless(no(container.AllowPrivilegeEscalation), "%s: may gain privileges", pod.owner)
	found.unless(slices.Equal(container.Capabilities.Drop, []core.Capability{"ALL"}), "%s: keeps capabilities", pod.owner)
	found.unless(no(pod.spec.AutomountServiceAccountToken), "%s: gets a token of the API server", pod.owner)
	found.unless(len(pod.container().Resources.Requests) > 0, "%s: requests no resources", pod.owner)
}

func (all *objects) checkSelectors(found *list) {
	for _, service := range all.services {
		pods := all.selected(&meta.LabelSelector{MatchLabels: service.Spec.Selector})
		found.unless(len(pods) == 1, "Service %s selects %d kinds of pods", service.Name, len(pods))
		for _, port := range service.Spec.Ports {
			for _, pod := range pods {
				found.unless(pod.hasPort(port.TargetPort.StrVal), "Service %s: port %s goes to %s, which no container has", service.Name, port.Name, port.TargetPort.StrVal)
			}
		}
	}
	for _, budget := range all.budgets {
		found.unless(len(all.selected(budget.Spec.Selector)) == 1, "PodDisruptionBudget %s selects no pods", budget.Name)
	}
	for _, policy := range all.policies {
		pods := all.selected(&policy.Spec.PodSelector)
		found.unless(len(pods) == 1, "NetworkPolicy %s selects %d kinds of pods", policy.Name, len(pods))
		for _, rule := range policy.Spec.Ingress {
			for _, port := range rule.Ports {
				named := port.Port != nil && port.Port.Type == intstr.String && len(pods) == 1 && pods[0].hasPort(port.Port.StrVal)
				found.unless(named, "NetworkPolicy %s opens a port that no container has", policy.Name)
			}
		}
	}
}

func (all *objects) checkStatefulSets(found *list) {
	for _, set := range all.statefulSets {
		template := set.Spec.Template
		matches := func(selector *meta.LabelSelector) bool {
			matcher, err := meta.LabelSelectorAsSelector(selector)
			return err == nil && !matcher.Empty() && matcher.Matches(labels.Set(template.Labels))
		}
		found.unless(matches(set.Spec.Selector), "StatefulSet %s does not select its own pods", set.Name)
		for _, spread := range template.Spec.TopologySpreadConstraints {
			found.unless(matches(spread.LabelSelector), "StatefulSet %s spreads other pods", set.Name)
		}
		headless := func(service *core.Service) bool {
			return service.Name == set.Spec.ServiceName && service.Spec.ClusterIP == core.ClusterIPNone
		}
		found.unless(slices.ContainsFunc(all.services, headless), "StatefulSet %s: its Service %s is not there, or not headless", set.Name, set.Spec.ServiceName)
		found.unless((set.Spec.Replicas == nil) == (len(all.autoscalers) == 1), "StatefulSet %s: either it or an autoscaler decides on replicas", set.Name)
		all.checkGrace(found, pod{owner: "StatefulSet " + set.Name, spec: template.Spec})
	}
	for _, autoscaler := range all.autoscalers {
		target := autoscaler.Spec.ScaleTargetRef
		found.unless(all.kindsAndNames[target.Kind+" "+target.Name], "HorizontalPodAutoscaler %s scales what is not there", autoscaler.Name)
	}
}

// checkGrace holds the grace period to what the program takes: docs/operations.md says preStop, shutdown_timeout, 5 s.
func (all *objects) checkGrace(found *list, pod pod) {
	drain, err := time.ParseDuration(pod.env()["EVERGRANT__SERVER__SHUTDOWN_TIMEOUT"])
	hook := pod.container().Lifecycle.PreStop.Sleep
	grace := time.Duration(*pod.spec.TerminationGracePeriodSeconds) * time.Second
	needed := time.Duration(hook.Seconds)*time.Second + drain + 5*time.Second
	found.unless(err == nil && grace >= needed, "%s: a grace period of %s is too short for %s", pod.owner, grace, needed)
}

func (all *objects) checkMonitors(found *list) {
	for _, monitor := range all.monitors {
		matcher, err := meta.LabelSelectorAsSelector(&monitor.Spec.Selector)
		var services []*core.Service
		for _, service := range all.services {
			if err == nil && matcher.Matches(labels.Set(service.Labels)) {
				services = append(services, service)
			}
		}
		found.unless(len(services) == 1, "ServiceMonitor %s selects %d Services", monitor.Name, len(services))
		for _, endpoint := range monitor.Spec.Endpoints {
			for _, service := range services {
				named := func(port core.ServicePort) bool { return port.Name == endpoint.Port }
				found.unless(slices.ContainsFunc(service.Spec.Ports, named), "ServiceMonitor %s scrapes port %s, which its Service has not", monitor.Name, endpoint.Port)
			}
		}
	}
}
