// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMutationGuards proves that the tests notice when what they guard is gone: a suite
// that passes either way would prove nothing. Each guard costs a build of the package,
// so all of them belong to the long form. One alone:
//
//	go test ./stream -run 'TestMutationGuards/rule_5' -chaos=long
func TestMutationGuards(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	// The texts are looked at in every run, so that who moves one notices.
	for _, m := range mutations() {
		if n := strings.Count(read(t, filepath.Join(root, m.file)), m.old); n != 1 {
			t.Errorf("%s: %s has %q %d times, want once: adjust the table", m.guard, m.file, m.old, n)
		}
	}
	if t.Failed() || !chaosLong() {
		return
	}
	for _, m := range mutations() {
		t.Run(m.guard, func(t *testing.T) {
			t.Parallel()
			out, ended := m.run(t, root)
			switch failed := strings.Contains(out, "--- FAIL: "); {
			case strings.Contains(out, "[build failed]") || strings.Contains(out, "[setup failed]"):
				t.Errorf("the mutated source does not build:\n%s", out)
			case strings.Contains(out, "no tests to run"):
				t.Errorf("there is no test %s", m.test)
			case ended == nil:
				t.Errorf("%s passes without it", m.test)
			case strings.Contains(out, "panic: test timed out"):
				if !m.hangs {
					t.Errorf("%s hangs, where it should fail:\n%.10000s", m.test, out)
				}
			case !failed:
				t.Errorf("%s ended with %v and no failure:\n%.10000s", m.test, ended, out)
			}
		})
	}
}

const (
	// mutationTime is what a test may take that a mutation makes hang, or fail after long.
	mutationTime = "60s"
	// mutationLimit is for all of it, a build on a busy machine included.
	mutationLimit = 5 * time.Minute
)

// run runs the mutation's test over a source in which the guard is missing. The file
// stays as it is: the compiler is told to read another one in its place. With the tag
// the test binary does not build itself anew, which it would do from the file.
func (m *mutation) run(t *testing.T, root string) (out string, ended error) {
	t.Helper()
	file := filepath.Join(root, m.file)
	mutated := filepath.Join(t.TempDir(), filepath.Base(m.file))
	overlay := mutated + ".json"
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {file: mutated}})
	if err == nil {
		err = errors.Join(
			os.WriteFile(mutated, []byte(strings.Replace(read(t, file), m.old, m.new, 1)), 0o600),
			os.WriteFile(overlay, replace, 0o600),
		)
	}
	if err != nil {
		t.Fatalf("write the mutated source: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), mutationLimit)
	defer cancel()
	arguments := []string{
		"test", "-overlay=" + overlay, "-tags=" + bubbleTag, "-vet=off", "-ldflags=-s -w", "-count=1", "-timeout=" + mutationTime, "-run=" + m.test, "./stream",
	}
	cmd := exec.CommandContext(ctx, "go", arguments...)
	cmd.Dir = root
	cmd.WaitDelay = 10 * time.Second
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	ended = cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("%s was not done within %s:\n%s", m.test, mutationLimit, &b)
	}
	return b.String(), ended
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
