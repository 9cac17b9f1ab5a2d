// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// fence is a block of a Markdown file: its language and what follows it, and the line of
// the file on which its text begins.
type fence struct {
	language, name string
	text           string
	line           int
}

var fenceStart = regexp.MustCompile("^```([a-z]*) ?(.*)$")

func fences(t *testing.T, markdown string) []fence {
	t.Helper()
	var out []fence
	inside := false
	for i, line := range strings.Split(markdown, "\n") {
		switch m := fenceStart.FindStringSubmatch(line); {
		case inside && line == "```":
			inside = false
		case inside:
			out[len(out)-1].text += line + "\n"
		case m != nil:
			out = append(out, fence{language: m[1], name: m[2], line: i + 2})
			inside = true
		}
	}
	if inside {
		t.Fatal("a fence is not closed")
	}
	return out
}

// TestTheGuideIsTrue does what schemas/README.md tells its reader to do: a fence with the
// name of a file is written there, and each command of a console fence is run and must
// print what stands below it. A line … stands for any lines. UPDATE_GUIDE=1 writes anew
// what is printed; the difference is to be read.
func TestTheGuideIsTrue(t *testing.T) {
	file := filepath.Join("..", "..", "schemas", "README.md")
	guide, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir, commands, files := t.TempDir(), 0, 0
	now := string(guide)
	for _, f := range fences(t, string(guide)) {
		switch {
		case f.language == "console":
			printed := ""
			for _, step := range strings.Split("\n"+f.text, "\n$ ")[1:] {
				command, want, _ := strings.Cut(step, "\n")
				want = strings.TrimSuffix(want, "\n")
				got := strings.TrimSuffix(shell(t, dir, command), "\n")
				commands++
				if like(want, got) {
					got = want
				} else if os.Getenv("UPDATE_GUIDE") == "" {
					t.Errorf("schemas/README.md, fence on line %d: `%s` prints\n%s\nand not\n%s\nIf that is right: UPDATE_GUIDE=1 go test ./cmd/lapwing -run TestTheGuideIsTrue", f.line, command, got, want)
				}
				printed += "$ " + command + "\n"
				if got != "" {
					printed += got + "\n"
				}
			}
			now = strings.Replace(now, "```console\n"+f.text+"```", "```console\n"+printed+"```", 1)
		case f.name != "":
			if err := os.WriteFile(filepath.Join(dir, f.name), []byte(f.text), 0o600); err != nil {
				t.Fatal(err)
			}
			files++
		}
	}
	if commands < 10 || files < 4 {
		t.Errorf("the guide has %d commands and %d files: where is its walk?", commands, files)
	}
	if os.Getenv("UPDATE_GUIDE") != "" {
		if err := os.WriteFile(file, []byte(now), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// shell runs a command line in dir; what it prints on both ways out comes as on a
// terminal, and the exit code last if it is not 0.
func shell(t *testing.T, dir, line string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", line, err)
	}
	return string(out)
}

// like compares an output with what stands in the guide.
func like(want, got string) bool {
	parts := strings.Split("\n"+want+"\n", "\n…\n")
	for i, part := range parts {
		parts[i] = regexp.QuoteMeta(part)
	}
	pattern := "^" + strings.Join(parts, "\n(.*\n)*") + "$"
	return regexp.MustCompile(pattern).MatchString("\n" + got + "\n")
}
