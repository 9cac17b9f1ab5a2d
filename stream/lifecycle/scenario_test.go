// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"os"
	"path/filepath"
	"testing"

	"lapwing/stream/streamtest"
)

// TestScenarios plays the stories in testdata/scenarios: the promises of the definition
// language in the words of those who write definitions.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if result := streamtest.Run(file, source, os.ReadFile); !result.OK() {
				t.Errorf("%s\n%s\nto repeat: go run ./cmd/lapwing test stream/lifecycle/%s", result.Rule, result.Explain(), file)
			}
		})
	}
}
