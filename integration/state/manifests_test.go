package state

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

func manifest(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "examples", "state", "local", "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// needs asks the program how long it takes to stop at most; it takes the
// arguments of the manifest with that, so they are its own.
func needs(t *testing.T, program string, args ...string) time.Duration {
	t.Helper()
	out, err := exec.Command(program, append(args, "-grace")...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	d, err := time.ParseDuration(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestStatefulSet decodes it by the API's own types. What it rests on: the name
// of the pod is the identity, the data are on the volume that goes with it, and
// nothing deletes that by itself.
func TestStatefulSet(t *testing.T) {
	parts := strings.Split(manifest(t, "statefulset.yaml"), "\n---\n")
	if len(parts) != 2 {
		t.Fatalf("%d documents", len(parts))
	}
	var service corev1.Service
	var set appsv1.StatefulSet
	for i, into := range []any{&service, &set} {
		if err := yaml.UnmarshalStrict([]byte(parts[i]), into); err != nil {
			t.Fatal(err)
		}
	}
	if service.APIVersion != "v1" || service.Kind != "Service" || set.APIVersion != "apps/v1" || set.Kind != "StatefulSet" {
		t.Errorf("it is a %s of %s and a %s of %s", service.Kind, service.APIVersion, set.Kind, set.APIVersion)
	}
	if service.Spec.ClusterIP != corev1.ClusterIPNone || set.Spec.ServiceName != service.Name {
		t.Errorf("the pods have no names that stay: service %q with address %q, for %q", service.Name, service.Spec.ClusterIP, set.Spec.ServiceName)
	}
	labels := set.Spec.Template.Labels
	if set.Spec.Selector == nil || set.Spec.Selector.MatchLabels["app"] != labels["app"] || service.Spec.Selector["app"] != labels["app"] {
		t.Error("the selectors do not select the pods")
	}
	pod := set.Spec.Template.Spec
	c := pod.Containers[0]
	port := c.Ports[0]
	if service.Spec.Ports[0].TargetPort.String() != port.Name || c.ReadinessProbe == nil || c.ReadinessProbe.TCPSocket == nil || c.ReadinessProbe.TCPSocket.Port.String() != port.Name {
		t.Errorf("the port %q is not the one that is used", port.Name)
	}
	if len(c.Env) != 1 || c.Env[0].Name != "POD_NAME" || c.Env[0].ValueFrom == nil || c.Env[0].ValueFrom.FieldRef == nil || c.Env[0].ValueFrom.FieldRef.FieldPath != "metadata.name" {
		t.Errorf("the environment is %+v", c.Env)
	}
	mount, claim := c.VolumeMounts[0], set.Spec.VolumeClaimTemplates[0]
	if mount.Name != claim.Name {
		t.Errorf("%q is mounted, claimed is %q", mount.Name, claim.Name)
	}
	if !slices.Equal(claim.Spec.AccessModes, []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOncePod}) {
		t.Errorf("the volume can be had by more than one pod: %v", claim.Spec.AccessModes)
	}
	keep := set.Spec.PersistentVolumeClaimRetentionPolicy
	if keep == nil || keep.WhenDeleted != appsv1.RetainPersistentVolumeClaimRetentionPolicyType || keep.WhenScaled != appsv1.RetainPersistentVolumeClaimRetentionPolicyType {
		t.Errorf("what becomes of the volumes: %+v", keep)
	}
	for _, want := range []string{"-id=$(POD_NAME)", "-addr=$(POD_NAME)." + service.Name + ":8080", "-listen=:8080", "-dir=" + mount.MountPath} {
		if !slices.Contains(c.Args, want) {
			t.Errorf("the arguments are %q, without %q", c.Args, want)
		}
	}
	if port.ContainerPort != 8080 {
		t.Errorf("the port is %d", port.ContainerPort)
	}
	needed := needs(t, build(t, "local"), c.Args...)
	if pod.RestartPolicy != corev1.RestartPolicyAlways || pod.TerminationGracePeriodSeconds == nil ||
		time.Duration(*pod.TerminationGracePeriodSeconds)*time.Second < needed {
		t.Errorf("restart policy %s, grace %v, needed %v", pod.RestartPolicy, pod.TerminationGracePeriodSeconds, needed)
	}
}

// TestUnit: the identity is the host's name, the data are in a directory that
// systemd keeps; and systemd itself reads the unit.
func TestUnit(t *testing.T) {
	content := manifest(t, "quorate-local.service")
	settings := map[string]string{}
	for line := range strings.Lines(content) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), "="); found && name[0] != '#' {
			settings[name] = value
		}
	}
	program := build(t, "local")
	command := strings.Fields(settings["ExecStart"])
	if settings["StateDirectory"] != "quorate-local" || settings["Restart"] != "always" || settings["KillMode"] != "mixed" || settings["KillSignal"] != "SIGTERM" {
		t.Errorf("the settings are %v", settings)
	}
	if line := settings["ExecStart"]; !strings.Contains(line, " -id %H ") || !strings.Contains(line, " -dir ${STATE_DIRECTORY} ") {
		t.Errorf("it runs %q", line)
	}
	grace, err := time.ParseDuration(settings["TimeoutStopSec"])
	if err != nil {
		t.Fatal(err)
	}
	if needed := needs(t, program, command[1:]...); grace < needed {
		t.Errorf("it grants %v to leave, the program needs %v", grace, needed)
	}
	name := filepath.Join(t.TempDir(), "quorate-local.service")
	verify := func(content string) (string, error) {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("systemd-analyze", "verify", "--recursive-errors=no", "--man=no", name).CombinedOutput()
		return string(out), err
	}
	if out, err := verify(strings.ReplaceAll(content, command[0], program)); err != nil || strings.Contains(out, "quorate-local.service:") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	// That it would say so if something were wrong.
	if out, _ := verify(strings.ReplaceAll(content, "StateDirectory=", "StatesDirectory=")); !strings.Contains(out, "StatesDirectory") {
		t.Errorf("systemd-analyze verify finds nothing wrong with a setting that is not there: %q", out)
	}
}
