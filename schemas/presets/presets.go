// SPDX-License-Identifier: Apache-2.0

// Package presets holds the definitions that ship with Lapwing: files to copy and
// edit, which also stand wherever a definition is asked for, as preset:NAME.
package presets

import (
	"embed"
	"io/fs"
	"strings"
)

//go:embed *.yaml
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
	return names
}
