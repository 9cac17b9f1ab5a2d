// SPDX-License-Identifier: Apache-2.0

package deploy_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

type composeFile struct {
	Services map[string]composeService `yaml:"services"`
	Volumes  map[string]any            `yaml:"volumes"`
}

type composeService struct {
	Image string `yaml:"image"`
	Build *struct {
		Context    string `yaml:"context"`
		Dockerfile string `yaml:"dockerfile"`
	} `yaml:"build"`
	Command     []string          `yaml:"command"`
	Environment map[string]string `yaml:"environment"`
	Ports       []string          `yaml:"ports"`
	Volumes     []string          `yaml:"volumes"`
	DependsOn   map[string]struct {
		Condition string `yaml:"condition"`
	} `yaml:"depends_on"`
	Healthcheck *struct {
		Test     []string `yaml:"test"`
		Interval string   `yaml:"interval"`
		Timeout  string   `yaml:"timeout"`
		Retries  int      `yaml:"retries"`
	} `yaml:"healthcheck"`
	NetworkMode string `yaml:"network_mode"`
	Privileged  bool   `yaml:"privileged"`
}

func readCompose(t *testing.T) composeFile {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var c composeFile
	if err := yaml.Unmarshal(b, &c); err != nil {
		t.Fatalf("docker-compose.yml: %v", err)
	}
	for _, name := range []string{"kafka", "clickhouse", "lapwing"} {
		if _, ok := c.Services[name]; !ok {
			t.Errorf("docker-compose.yml has no service %s", name)
		}
	}
	return c
}

func TestComposeExposesNothingBeyondLoopback(t *testing.T) {
	published := 0
	for name, s := range readCompose(t).Services {
		for _, port := range s.Ports {
			published++
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s publishes %s, not on loopback", name, port)
			}
		}
		if s.NetworkMode == "host" || s.Privileged {
			t.Errorf("%s is not kept to itself: network %q, privileged %v", name, s.NetworkMode, s.Privileged)
		}
	}
	if published == 0 {
		t.Error("no port is published: then nobody can use the servers, or this test reads the file wrong")
	}
}

// A tag such as 4.1.1 or 25.8: "latest" would be another program on another day.
var pinnedImage = regexp.MustCompile(`^[a-z0-9./-]+:\d+(\.\d+)+$`) //nolint:gochecknoglobals // compiled once

func TestComposeServicesAreHealthCheckedPinnedAndKept(t *testing.T) {
	c := readCompose(t)
	for name, s := range c.Services {
		if h := s.Healthcheck; h == nil || len(h.Test) < 2 || h.Test[0] != "CMD" || h.Interval == "" || h.Timeout == "" || h.Retries == 0 {
			t.Errorf("%s has no complete health check: %+v", name, s.Healthcheck)
		}
		if s.Build == nil && !pinnedImage.MatchString(s.Image) {
			t.Errorf("%s: image %q is not pinned to a version", name, s.Image)
		}
		for other, on := range s.DependsOn {
			if _, ok := c.Services[other]; !ok || on.Condition != "service_healthy" {
				t.Errorf("%s depends on %s (%s): want a service, and its health", name, other, on.Condition)
			}
		}
		for _, volume := range s.Volumes {
			source, _, _ := strings.Cut(volume, ":")
			if file, local := strings.CutPrefix(source, "./"); local {
				if _, err := os.Stat(filepath.Join("..", file)); err != nil {
					t.Errorf("%s mounts a file that is not there: %v", name, err)
				}
			} else if _, named := c.Volumes[source]; !named {
				t.Errorf("%s: volume %s is not declared", name, source)
			}
		}
	}
	for _, name := range []string{"kafka", "clickhouse"} {
		if len(c.Services[name].Volumes) == 0 {
			t.Errorf("%s forgets its data when its container is made anew", name)
		}
	}
}

func TestComposeClickHouseHasAPassword(t *testing.T) {
	c := readCompose(t)
	password := c.Services["clickhouse"].Environment["CLICKHOUSE_PASSWORD"]
	if !regexp.MustCompile(`^\$\{CLICKHOUSE_PASSWORD:(-.{8,}|\?.+)\}$`).MatchString(password) {
		t.Errorf("CLICKHOUSE_PASSWORD is %q: want it from the environment, with a default that is not empty, or required", password)
	}
	if url := c.Services["lapwing"].Environment["LAPWING_CLICKHOUSE"]; !strings.Contains(url, ":"+password+"@clickhouse:9000/") {
		t.Errorf("lapwing connects with %q, which is not ClickHouse's password", url)
	}
}

func TestComposeBuildsAndRunsTheService(t *testing.T) {
	s := readCompose(t).Services["lapwing"]
	if s.Build == nil {
		t.Fatal("lapwing is not built from this repository")
	}
	b, err := os.ReadFile(filepath.Join("..", s.Build.Context, s.Build.Dockerfile))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CGO_ENABLED=0", "noembedded", "FROM scratch", "USER 65532", "./cmd/lapwing"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s lacks %q: the image must be one static binary, not run as root", s.Build.Dockerfile, want)
		}
	}
	if got, want := fmt.Sprint(s.Command), "[run -c /etc/lapwing/lapwing.yaml]"; got != want {
		t.Errorf("command %s, want %s", got, want)
	}
}

// The word of Docker itself, in addition, where its compose plugin is installed: it is no
// part of what a machine needs, and the tests above read the file without it.
func TestComposeFileIsValidByDocker(t *testing.T) {
	if err := exec.CommandContext(t.Context(), "docker", "compose", "version").Run(); err != nil {
		t.Logf("docker compose is not installed: %v", err)
		return
	}
	cmd := exec.CommandContext(t.Context(), "docker", "compose", "config", "--quiet")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("docker compose config: %v\n%s", err, out)
	}
}
