// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"strings"
	"testing"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"go.uber.org/zap"

	"lapwing/deploy/embedded/embeddedtest"
	schema "lapwing/schemas/clickhouse"
)

// TestRetentionOnOlderServers: a ClickHouse that refuses a TTL of milliseconds gets one of
// seconds, once; when it is a newer one, the better one takes its place.
func TestRetentionOnOlderServers(t *testing.T) {
	ctx := context.Background()
	conn := open(t, embeddedtest.ClickHouseForTest(t))
	older, altered := true, 0
	w := &wire{Conn: conn, before: func(statement string) error {
		if _, ttl, ok := strings.Cut(statement, " MODIFY TTL "); ok {
			if older && !strings.HasPrefix(ttl, "toDateTime(") {
				return &ch.Exception{Code: codeBadTTL, Message: "TTL expression result column should have DateTime or Date type"}
			}
			altered++
		}
		return nil
	}}
	m, err := New(w, schema.Layout{Database: "older"}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Apply(ctx); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"TTL toDateTime(exposed_at) + toIntervalDay(30) ", "TTL exposed_at + toIntervalDay(30) "} {
		for range 2 {
			if err := m.Retain(ctx, []Retention{{Table: "exposures_log", Column: "exposed_at", Keep: 30 * 24 * time.Hour}}); err != nil {
				t.Fatal(err)
			}
			if engine := names(t, conn, "SELECT engine_full FROM system.tables WHERE database = 'older' AND name = 'exposures_log'"); len(engine) != 1 || !strings.Contains(engine[0], want) || altered != i+1 {
				t.Errorf("changed %d times, to %q, want %q", altered, engine, want)
			}
		}
		older = false
	}
}
