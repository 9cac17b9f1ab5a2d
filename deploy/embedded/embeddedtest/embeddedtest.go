// SPDX-License-Identifier: Apache-2.0

// Package embeddedtest gives tests a real ClickHouse engine.
//
//	func TestMain(m *testing.M) {
//		embedded.RunChild()
//		os.Exit(m.Run())
//	}
//
//	func TestInsert(t *testing.T) {
//		ch := embeddedtest.ClickHouseForTest(t)
//		conn, err := clickhouse.Open(ch.Options())
//		…
//	}
package embeddedtest

import (
	"context"
	"os"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"lapwing/deploy/embedded"
)

// startTimeout bounds a start; the library's first download is not in it.
const startTimeout = time.Minute

// ClickHouseForTest starts an engine over a folder of the test's own, and closes
// it when the test ends; start one per package if many tests need it (it takes
// half a second). Where the library cannot be had, the test is skipped and says
// why; with CI=true it fails.
func ClickHouseForTest(t testing.TB) *embedded.ClickHouse {
	t.Helper()
	RequireLibrary(t)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	ch, err := embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{Dir: t.TempDir(), Log: zaptest.NewLogger(t), MaxMemoryBytes: 2 << 30})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ch.Close(); err != nil {
			t.Error(err)
		}
	})
	return ch
}

// RequireLibrary finds or fetches the engine's library, announcing a download on
// standard error. If it cannot be had, it skips the test, or fails it with
// CI=true.
func RequireLibrary(t testing.TB) (path string) {
	t.Helper()
	path, err := embedded.EnsureLibrary(context.Background(), os.Stderr)
	switch {
	case err == nil:
		return path
	case os.Getenv("CI") == "true":
		t.Fatalf("the embedded ClickHouse is not to be had: %v", err)
	default:
		t.Skipf("the embedded ClickHouse is not to be had: %v", err)
	}
	return ""
}
