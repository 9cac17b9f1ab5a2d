// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lapwing/schemas/definition"
	"lapwing/schemas/presets"
	"lapwing/stream/lifecycle"
)

// What ships is an example: check has nothing to say of it, not even a warning.
func TestShippedDefinitionsAreFreeOfWarnings(t *testing.T) {
	check := func(name string, source []byte) {
		_, problems := lifecycle.Check(definition.ParsePartial(name, source))
		for _, p := range problems {
			t.Error(p.Format(name, source))
		}
	}
	for _, name := range presets.Names() {
		source, _ := presets.Get(name)
		check("preset:"+name, source)
		if presets.HasCampaigns(name) {
			source, err := presets.WithCampaigns(name)
			if err != nil {
				t.Fatal(err)
			}
			check("preset:"+name+" with its campaigns", source)
		}
	}
	walk := func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".yaml") {
			return err
		}
		source, err := os.ReadFile(path)
		if err == nil && strings.HasPrefix(string(source), "lapwing:") {
			check(path, source)
		}
		return err
	}
	for _, folder := range []string{"schemas", "deploy", "stream", "cmd"} {
		if err := filepath.WalkDir(filepath.Join("..", "..", folder), walk); err != nil {
			t.Fatal(err)
		}
	}
}
