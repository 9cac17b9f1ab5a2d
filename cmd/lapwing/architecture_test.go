// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// arrows is who may import whom, by folder at the top. Each may import itself.
var arrows = map[string][]string{ //nolint:gochecknoglobals // a table of this test
	"cmd":     {"stream", "sink", "schemas", "deploy"},
	"stream":  {"schemas"},
	"sink":    {"schemas"},
	"deploy":  {"schemas"},
	"schemas": {},
}

// topLevel is all that may stand at the top of the repository, dot files aside.
var topLevel = []string{ //nolint:gochecknoglobals // a table of this test
	"cmd", "stream", "sink", "schemas", "deploy", "go.mod", "go.sum", "docker-compose.yml", "README.md",
	"LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "Makefile",
}

const (
	spdxLine     = "// SPDX-License-Identifier: Apache-2.0"
	maxFileLines = 800
)

// repository is the module's folder.
func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

type listedPackage struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Deps       []string // all of the package's imports, and theirs
}

// listPackages is `go list -deps` of the module's own packages, built with tags.
func listPackages(t *testing.T, root, tags string) []listedPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-e", "-tags", tags, "-json=ImportPath,Dir,GoFiles,Deps", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -deps ./...: %v\n%s", err, stderr.String())
	}
	var own []listedPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listedPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		if strings.HasPrefix(p.ImportPath, "lapwing/") {
			own = append(own, p)
		}
	}
	if len(own) < 5 {
		t.Fatalf("go list found only %d packages of ours: %v", len(own), own)
	}
	return own
}

func topFolder(importPath string) string {
	folder, _, _ := strings.Cut(strings.TrimPrefix(importPath, "lapwing/"), "/")
	return folder
}

func TestFoldersImportOnlyAlongTheArrows(t *testing.T) {
	for _, tags := range []string{"", "noembedded"} {
		for _, p := range listPackages(t, repository(t), tags) {
			from := topFolder(p.ImportPath)
			allowed, known := arrows[from]
			if !known {
				t.Errorf("%s is in no folder that may hold code", p.ImportPath)
				continue
			}
			for _, dep := range p.Deps {
				if to := topFolder(dep); strings.HasPrefix(dep, "lapwing/") && to != from && !slices.Contains(allowed, to) {
					t.Errorf("%s imports %s, itself or through others; %s may import only %v", p.ImportPath, dep, from, allowed)
				}
			}
		}
	}
}

// The pure core reaches for no clock's ticker, goroutine's tools, network or logger,
// not even through others. (context and sync come with cel-go, so the linter watches
// the package's own files for those.)
func TestPureCoreReachesNothingOutside(t *testing.T) {
	forbidden := []string{"go.uber.org/zap", "github.com/twmb/franz-go", "github.com/ClickHouse", "github.com/cockroachdb/pebble", "os/exec", "net/http", "log/slog"}
	for _, p := range listPackages(t, repository(t), "") {
		if !slices.Contains([]string{"lapwing/stream/lifecycle", "lapwing/sink/batch", "lapwing/sink/compare"}, p.ImportPath) {
			continue
		}
		for _, dep := range p.Deps {
			if slices.ContainsFunc(forbidden, func(f string) bool { return dep == f || strings.HasPrefix(dep, f+"/") }) {
				t.Errorf("%s depends on %s", p.ImportPath, dep)
			}
		}
	}
}

func TestEachPackageHasOnePackageComment(t *testing.T) {
	for _, p := range listPackages(t, repository(t), "") {
		var commented []string
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Error(err)
				continue
			}
			if file.Doc != nil {
				commented = append(commented, name)
			}
		}
		// A package that some build tags empty has no files to comment in this build.
		if len(p.GoFiles) > 0 && len(commented) != 1 {
			t.Errorf("%s has its package comment in %v, want exactly one file", p.ImportPath, commented)
		}
	}
}

// files is every file of the repository that git would take: tracked, or new and not
// ignored. Outside of a git checkout (an unpacked archive) it is every file.
func files(t *testing.T, root string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	out, err := cmd.Output()
	var names []string
	if err == nil {
		names = strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	} else {
		err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			name, err := filepath.Rel(root, path)
			names = append(names, filepath.ToSlash(name))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// A file deleted but not yet committed is still listed.
	names = slices.DeleteFunc(names, func(name string) bool {
		_, err := os.Lstat(filepath.Join(root, name))
		return err != nil
	})
	if len(names) < 20 {
		t.Fatalf("found only %d files: %v", len(names), names)
	}
	return names
}

func TestTopLevelHoldsWhatItShould(t *testing.T) {
	for _, name := range files(t, repository(t)) {
		top, _, _ := strings.Cut(name, "/")
		if !strings.HasPrefix(top, ".") && !slices.Contains(topLevel, top) {
			t.Errorf("%s: %s does not belong at the top; allowed: %v and dot files", name, top, topLevel)
		}
	}
}

func TestGoFilesHaveTheirLicenceLineAndAReadableLength(t *testing.T) {
	root := repository(t)
	for _, name := range files(t, root) {
		if filepath.Ext(name) != ".go" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if first, _, _ := strings.Cut(string(b), "\n"); first != spdxLine {
			t.Errorf("%s: the first line is %q, want %q", name, first, spdxLine)
		}
		if n := bytes.Count(b, []byte("\n")); n > maxFileLines {
			t.Errorf("%s has %d lines, at most %d", name, n, maxFileLines)
		}
	}
}

// machinePath finds the beginnings of paths that exist on one machine only: a home or
// a working folder, after anything that cannot be part of a longer path or of a URL.
var machinePath = regexp.MustCompile(`(^|[^\w./~$}-])/(root|work|home|Users)/`) //nolint:gochecknoglobals // compiled once

func TestNothingNamesAPathOfOneMachine(t *testing.T) {
	root := repository(t)
	for _, name := range files(t, root) {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if bytes.IndexByte(b[:min(len(b), 8000)], 0) >= 0 {
			continue // binary, as git sees it
		}
		for i, line := range bytes.Split(b, []byte("\n")) {
			if m := machinePath.Find(line); m != nil {
				t.Errorf("%s:%d names a path of one machine: %s", name, i+1, bytes.TrimSpace(line[:min(len(line), 200)]))
			}
		}
	}
}

func TestMachinePathsAreFoundWhereTheyStand(t *testing.T) {
	for _, bad := range []string{"\"#root/x\"", "cd #work/main", "#home/ana/go", "see:#Users/ana/x", "(#root/.cache)"} {
		bad = strings.Replace(bad, "#", "/", 1) // so that this file may be read like any other
		if !machinePath.MatchString(bad) {
			t.Errorf("%s: not found", bad)
		}
	}
	for _, good := range []string{"https://example.com/home/x", "$HOME/work/x", "a/root/b", "../work/x", "/homely/x", "~/work/x"} {
		if machinePath.MatchString(good) {
			t.Errorf("%s: found", good)
		}
	}
}

// A guarantee in the README names the test that shows it.
func TestReadmeNamesTestsThatExist(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllSubmatch(readme, -1)
	if len(named) < 20 {
		t.Fatalf("README names %d tests; its table of guarantees has more rows", len(named))
	}
	var sources []byte
	err = filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		sources = append(sources, source...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range named {
		if !bytes.Contains(sources, []byte("func "+string(name[1])+"(t *testing.T)")) {
			t.Errorf("README names %s, and there is no such test", name[1])
		}
	}
}
