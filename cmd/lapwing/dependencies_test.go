// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// explainedModule is a row of the table of dependencies: the module, then its reason.
var explainedModule = regexp.MustCompile("(?m)^\\| `([^`/]+\\.[^`]+)` \\| \\S.{5,} \\|$") //nolint:gochecknoglobals // compiled once

func TestEachDirectDependencyHasItsReason(t *testing.T) {
	root := repository(t)
	cmd := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go mod edit -json: %v", err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "CONTRIBUTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	var explained []string
	for _, m := range explainedModule.FindAllStringSubmatch(string(text), -1) {
		explained = append(explained, m[1])
	}
	var direct []string
	for _, r := range mod.Require {
		if r.Indirect {
			continue
		}
		direct = append(direct, r.Path)
		if !slices.Contains(explained, r.Path) {
			t.Errorf("%s is a direct dependency in go.mod; add its reason to CONTRIBUTING.md", r.Path)
		}
	}
	for _, path := range explained {
		if !slices.Contains(direct, path) {
			t.Errorf("CONTRIBUTING.md explains %s, which is no direct dependency in go.mod", path)
		}
	}
	if !slices.IsSorted(explained) {
		t.Error("the dependencies in CONTRIBUTING.md are not in order")
	}
}
