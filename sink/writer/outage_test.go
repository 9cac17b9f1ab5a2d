// SPDX-License-Identifier: Apache-2.0

package writer_test

import (
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"lapwing/sink/writer"
)

// TestOutageIsToldOnce: while ClickHouse is away, for however many inserts, each kind of
// error is told at once and then once a minute, and at the end how long it was; and no
// wait is longer than the greatest that is configured.
func TestOutageIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		cfg := writer.Config{Database: "x", InitialInterval: 100 * time.Millisecond, MaxInterval: 10 * time.Second, Timeout: time.Minute}
		w := writer.New(nil, cfg, zap.New(core), writer.Hooks{})
		began := time.Now()
		var group sync.WaitGroup
		for i := range 20 {
			group.Go(func() {
				var last time.Time
				if err := w.Retry(context.Background(), "insert", func(context.Context) error {
					if wait := time.Since(last); !last.IsZero() && wait > cfg.MaxInterval {
						t.Errorf("waited for %v, where %v is the most", wait, cfg.MaxInterval)
					}
					last = time.Now()
					switch {
					case time.Since(began) > 150*time.Second:
						return nil
					case i == 7 && time.Since(began) > 30*time.Second:
						return &ch.Exception{Code: 242} // of this one alone
					}
					return io.EOF
				}); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		codes := map[int32]int{}
		for _, entry := range logs.FilterLevelExact(zap.WarnLevel).All() {
			codes[entry.ContextMap()["code"].(int32)]++
		}
		if codes[0] != 3 || codes[242] < 1 || codes[242] > 2 || len(codes) != 2 {
			t.Errorf("told of errors by code: %v, want 3 of 0, for 150 s, and 1 or 2 of 242, for 120 s", codes)
		}
		over := logs.FilterLevelExact(zap.InfoLevel).All()
		if len(over) != 1 || over[0].ContextMap()["after"].(time.Duration) < 150*time.Second {
			t.Errorf("at the end: %v, want one line that says after how long", over)
		}
	})
}
