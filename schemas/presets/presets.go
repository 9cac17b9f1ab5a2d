// SPDX-License-Identifier: Apache-2.0

// Package presets holds the definitions that ship with Lapwing: files to copy and
// edit, which also stand wherever a definition is asked for, as preset:NAME; and the
// scenarios that prove them.
package presets

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"lapwing/schemas/definition"
)

//go:embed *.yaml campaigns scenarios
var files embed.FS

const extension = ".yaml"

// Get is the file of the preset, which the caller may change; ok is false if
// there is none of that name.
func Get(name string) (source []byte, ok bool) {
	if strings.ContainsAny(name, "/\\") {
		return nil, false
	}
	source, err := files.ReadFile(name + extension)
	return source, err == nil
}

// Find is Get with an error for a name that is none, which tells those that are.
func Find(name string) (source []byte, err error) {
	if source, ok := Get(name); ok {
		return source, nil
	}
	names := strings.Join(Names(), ", ")
	if near := definition.Suggest(name, Names()); near != "" {
		return nil, fmt.Errorf("there is no preset %q%s (there is: %s)", name, near, names)
	}
	return nil, fmt.Errorf("there is no preset %q; there is: %s", name, names)
}

// Title says in a few words whom the preset is for: the file's first words, up to a
// colon. It is empty if there is no such preset.
func Title(name string) string {
	source, _ := Get(name)
	var words []string
	for line := range strings.Lines(string(source)) {
		comment, ok := strings.CutPrefix(line, "# ")
		if !ok {
			break
		}
		before, _, found := strings.Cut(comment, ":")
		words = append(words, strings.TrimSpace(before))
		if found {
			break
		}
	}
	return strings.Join(words, " ")
}

// Scenario is one scenario file of a preset.
type Scenario struct {
	Name string // of the file: stages.txt
	Text string // names the definition as preset:NAME
}

// Scenarios are those of the preset, by name; none if there is no such preset.
func Scenarios(name string) []Scenario {
	if _, ok := Get(name); !ok {
		return nil
	}
	paths, err := fs.Glob(files, path.Join("scenarios", name, "*.txt"))
	if err != nil { // only a malformed pattern can fail
		return nil
	}
	scenarios := make([]Scenario, 0, len(paths))
	for _, p := range paths {
		text, err := files.ReadFile(p)
		if err != nil { // it was just listed, and is in this program
			continue
		}
		scenarios = append(scenarios, Scenario{Name: path.Base(p), Text: string(text)})
	}
	return scenarios
}

// Names are the names of all presets, sorted.
func Names() []string {
	entries, err := fs.Glob(files, "*"+extension)
	if err != nil { // only a malformed pattern can fail
		return nil
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e, extension))
	}
	slices.Sort(names) // files are sorted with their extension
	return names
}
