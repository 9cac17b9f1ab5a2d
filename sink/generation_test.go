// SPDX-License-Identifier: Apache-2.0

package sink_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/schemas/topics"
	"lapwing/sink/sinktest"
)

// The views go on to the next generation once it is live, its lanes have taken over and
// all of it is in ClickHouse; not before, and whole.
func TestViewsFollowTheLiveGeneration(t *testing.T) {
	t.Parallel()
	server := embeddedtest.ClickHouseForTest(t)
	conn := connect(t, server)
	d := sinktest.NewDatabase(t, server.Options(), "switched")
	c := broker(t)
	old := sinktest.New(1, time.UTC, sinktest.Size{Customers: 20, Orders: 3, Changes: 4})
	next := sinktest.New(2, time.UTC, sinktest.Size{Customers: 30, Orders: 3, Changes: 4})
	produce(t, c, old.Records(1))
	first := start(t, config(c, d.Name), conn, logger(t))
	finish(t, first)
	check(t, d, totals(old))

	produce(t, c, next.Records(2))
	cfg := config(c, d.Name)
	cfg.Generation = 2
	second := start(t, cfg, conn, logger(t))
	finish(t, second)
	say := func(state string, over bool) {
		t.Helper()
		r := &kgo.Record{
			Topic: sinktest.Prefix + topics.Definitions, Key: []byte("generation.2"), Value: fmt.Appendf(nil, `{"generation":2,"state":%q,"taken_over":%t}`, state, over),
			Headers: []kgo.RecordHeader{{Key: "generation", Value: []byte("2")}},
		}
		if err := client(t, c).ProduceSync(context.Background(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		finish(t, second)
	}
	shown := func() string {
		text, err := d.Text(context.Background(), "SELECT generation FROM "+d.Name+".current_generation")
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	say("live", false)
	<-time.After(6 * time.Second) // a sink looks every five
	if got := shown(); got != "(1)\n" {
		t.Errorf("the views show %s while lanes still take over", got)
	}
	check(t, d, totals(old))
	say("live", true)
	eventually(t, "the views show generation 2", func() bool { return shown() == "(2)\n" })
	check(t, d, totals(next)) // and what says which one is live is no unreadable definition
}
