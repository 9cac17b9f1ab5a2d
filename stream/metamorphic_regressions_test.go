// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"path/filepath"
	"strings"
	"testing"
)

// Lists of operations that once gave other records under another configuration, as
// -meta.reduce left them. Each file's first lines say what had gone wrong.
func TestMetamorphicRegressions(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "metamorphic", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no lists of operations were found: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			p, err := readMetaPlan(file)
			if err != nil {
				t.Fatal(err)
			}
			checkMeta(t, p, file)
		})
	}
}
