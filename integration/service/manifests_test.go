package service

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// manifest is what a manifest says of how the service is kept running.
type manifest struct {
	always bool          // it is started again whatever its exit code
	delay  time.Duration // before it is
	grace  time.Duration // from SIGTERM to SIGKILL
}

// manifests reads each.
var manifests = map[string]func(*testing.T) manifest{
	"kubernetes": kubernetes,
	"compose":    compose,
	"swarm":      swarm,
	"marathon":   marathon,
	"systemd":    systemd,
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "examples", "service", "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// kubernetes decodes the Deployment by the API's own types; a field that they do
// not have is an error.
func kubernetes(t *testing.T) manifest {
	t.Helper()
	var d appsv1.Deployment
	if err := yaml.UnmarshalStrict(read(t, "kubernetes.yaml"), &d); err != nil {
		t.Fatal(err)
	}
	if d.APIVersion != "apps/v1" || d.Kind != "Deployment" {
		t.Errorf("it is a %s of %s", d.Kind, d.APIVersion)
	}
	if d.Spec.Selector == nil || d.Spec.Selector.MatchLabels["app"] != d.Spec.Template.Labels["app"] {
		t.Error("the selector does not select the pods")
	}
	pod := d.Spec.Template.Spec
	probe := func(name, path string, p *corev1.Probe) {
		t.Helper()
		if p == nil || p.HTTPGet == nil || p.HTTPGet.Path != path || p.HTTPGet.Port.String() != pod.Containers[0].Ports[0].Name {
			t.Errorf("the %s probe: %+v, want one of %s", name, p, path)
		}
	}
	probe("liveness", "/live", pod.Containers[0].LivenessProbe)
	probe("readiness", "/ready", pod.Containers[0].ReadinessProbe)
	if pod.TerminationGracePeriodSeconds == nil {
		t.Fatal("it grants no grace period of its own")
	}
	return manifest{
		always: pod.RestartPolicy == corev1.RestartPolicyAlways,
		delay:  time.Second, // the kubelet's own is longer, and grows
		grace:  time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second,
	}
}

// project loads the Compose file as docker compose does, by its schema.
func project(t *testing.T) types.ServiceConfig {
	t.Helper()
	p, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  t.TempDir(),
		ConfigFiles: []types.ConfigFile{{Filename: "compose.yaml", Content: read(t, "compose.yaml")}},
	}, func(o *loader.Options) { o.SetProjectName("quorate", true) })
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.GetService("service")
	if err != nil {
		t.Fatal(err)
	}
	if s.StopGracePeriod == nil || s.StopSignal != "SIGTERM" || len(s.DependsOn) > 0 {
		t.Fatalf("grace %v, signal %q, depends on %v", s.StopGracePeriod, s.StopSignal, s.DependsOn)
	}
	return s
}

func compose(t *testing.T) manifest {
	t.Helper()
	s := project(t)
	return manifest{always: s.Restart == types.RestartPolicyAlways, delay: time.Second, grace: time.Duration(*s.StopGracePeriod)}
}

func swarm(t *testing.T) manifest {
	t.Helper()
	s := project(t)
	if s.Deploy == nil || s.Deploy.RestartPolicy == nil || s.Deploy.RestartPolicy.Delay == nil || s.Deploy.RestartPolicy.MaxAttempts != nil {
		t.Fatalf("deploy: %+v", s.Deploy)
	}
	policy := s.Deploy.RestartPolicy
	return manifest{always: policy.Condition == "any", delay: time.Duration(*policy.Delay), grace: time.Duration(*s.StopGracePeriod)}
}

// app is what a Marathon app may have of what the example uses (its RAML
// definition, v1.5 and later).
type app struct {
	ID        string   `json:"id"`
	Instances int      `json:"instances"`
	CPUs      float64  `json:"cpus"`
	Mem       float64  `json:"mem"`
	Args      []string `json:"args"`
	Container struct {
		Type   string `json:"type"`
		Docker struct {
			Image          string `json:"image"`
			ForcePullImage bool   `json:"forcePullImage"`
		} `json:"docker"`
		PortMappings []struct {
			ContainerPort int    `json:"containerPort"`
			HostPort      int    `json:"hostPort"`
			Protocol      string `json:"protocol"`
			Name          string `json:"name"`
		} `json:"portMappings"`
	} `json:"container"`
	Networks []struct {
		Mode string `json:"mode"`
	} `json:"networks"`
	HealthChecks []struct {
		Protocol               string `json:"protocol"`
		Path                   string `json:"path"`
		PortName               string `json:"portName"`
		GracePeriodSeconds     int    `json:"gracePeriodSeconds"`
		IntervalSeconds        int    `json:"intervalSeconds"`
		TimeoutSeconds         int    `json:"timeoutSeconds"`
		MaxConsecutiveFailures int    `json:"maxConsecutiveFailures"`
	} `json:"healthChecks"`
	ReadinessChecks []struct {
		Name                    string `json:"name"`
		Protocol                string `json:"protocol"`
		Path                    string `json:"path"`
		PortName                string `json:"portName"`
		IntervalSeconds         int    `json:"intervalSeconds"`
		TimeoutSeconds          int    `json:"timeoutSeconds"`
		HTTPStatusCodesForReady []int  `json:"httpStatusCodesForReady"`
	} `json:"readinessChecks"`
	TaskKillGracePeriodSeconds int     `json:"taskKillGracePeriodSeconds"`
	BackoffSeconds             float64 `json:"backoffSeconds"`
	BackoffFactor              float64 `json:"backoffFactor"`
	MaxLaunchDelaySeconds      int     `json:"maxLaunchDelaySeconds"`
	UpgradeStrategy            struct {
		MinimumHealthCapacity float64 `json:"minimumHealthCapacity"`
		MaximumOverCapacity   float64 `json:"maximumOverCapacity"`
	} `json:"upgradeStrategy"`
}

func marathon(t *testing.T) manifest {
	t.Helper()
	var a app
	d := json.NewDecoder(bytes.NewReader(read(t, "marathon.json")))
	d.DisallowUnknownFields()
	if err := d.Decode(&a); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Token(); err != io.EOF {
		t.Errorf("after the app comes %v", err)
	}
	if len(a.HealthChecks) != 1 || a.HealthChecks[0].Path != "/live" || len(a.ReadinessChecks) != 1 || a.ReadinessChecks[0].Path != "/ready" {
		t.Errorf("it is probed like this: %+v, %+v", a.HealthChecks, a.ReadinessChecks)
	}
	// Marathon always starts again what ended, after a backoff.
	return manifest{
		always: a.Instances > 0,
		delay:  time.Duration(a.BackoffSeconds * float64(time.Second)),
		grace:  time.Duration(a.TaskKillGracePeriodSeconds) * time.Second,
	}
}

// unit returns the settings of the systemd unit.
func unit(t *testing.T) map[string]string {
	t.Helper()
	settings := make(map[string]string)
	for line := range strings.Lines(string(read(t, "quorate-service.service"))) {
		line = strings.TrimSpace(line)
		if name, value, found := strings.Cut(line, "="); found && line[0] != '#' {
			settings[name] = value
		}
	}
	return settings
}

func systemd(t *testing.T) manifest {
	t.Helper()
	settings := unit(t)
	seconds := func(name string) time.Duration {
		t.Helper()
		d, err := time.ParseDuration(settings[name])
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return d
	}
	if settings["KillSignal"] != "SIGTERM" || settings["KillMode"] != "mixed" {
		t.Errorf("it is killed by %s, %s", settings["KillSignal"], settings["KillMode"])
	}
	return manifest{always: settings["Restart"] == "always", delay: seconds("RestartSec"), grace: seconds("TimeoutStopSec")}
}

// TestManifests: each restarts the service whatever its exit code, and grants
// it the time that it needs to leave in order.
func TestManifests(t *testing.T) {
	program := build(t)
	out, err := exec.Command(program, "-grace").Output()
	if err != nil {
		t.Fatal(err)
	}
	needs, err := time.ParseDuration(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	for name, read := range manifests {
		t.Run(name, func(t *testing.T) {
			m := read(t)
			if !m.always {
				t.Error("it does not start again what has ended, whatever the code")
			}
			if m.grace < needs {
				t.Errorf("it grants %v to leave, the service needs %v", m.grace, needs)
			}
			if m.delay <= 0 {
				t.Errorf("it starts again what has ended after %v", m.delay)
			}
		})
	}
}

// TestSystemdVerifies has systemd itself read the unit, with the program at the
// path where it was built to.
func TestSystemdVerifies(t *testing.T) {
	program := build(t)
	content := string(read(t, "quorate-service.service"))
	command, _, _ := strings.Cut(unit(t)["ExecStart"], " ")
	name := filepath.Join(t.TempDir(), "quorate-service.service")
	verify := func(content string) (string, error) {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("systemd-analyze", "verify", "--recursive-errors=no", "--man=no", name).CombinedOutput()
		return string(out), err
	}
	if out, err := verify(strings.ReplaceAll(content, command, program)); err != nil || strings.Contains(out, "quorate-service.service:") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	// That it would say so if something were wrong.
	if out, _ := verify(strings.ReplaceAll(content, "TimeoutStopSec=", "TimeoutToStop=")); !strings.Contains(out, "TimeoutToStop") {
		t.Errorf("systemd-analyze verify finds nothing wrong with a unit that has an unknown setting: %s", strconv.Quote(out))
	}
}
