// SPDX-License-Identifier: Apache-2.0

package sink_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"lapwing/deploy/embedded"
	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/sink/batch"
	"lapwing/sink/sinktest"
)

var (
	faultRounds = flag.Int("fault.rounds", 1, "how often the tests of faults go through all of them")
	faultSeed   = flag.Uint64("fault.seed", 1, "the first seed of the tests of faults")
)

// through opens a pool of connections that pass the proxy.
func through(t *testing.T, server *embedded.ClickHouse, p *sinktest.Proxy) driver.Conn {
	t.Helper()
	o := server.Options()
	o.Addr = []string{p.Addr}
	conn, err := clickhouse.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// factTables are topics of which each record is a row of one table at least.
func factTables() map[string]string {
	return map[string]string{
		sinktest.Prefix + "activity": "activity_log", sinktest.Prefix + "stage-changes": "stage_changes_log", sinktest.Prefix + "segment-changes": "segment_changes_log",
	}
}

// neverAhead fails the test if an offset is committed while a fact below it is not in
// ClickHouse: it looks at each commit before the broker has it.
func neverAhead(t *testing.T, c *kfake.Cluster, d *sinktest.Database, produced func() places) (commits *atomic.Int64) {
	t.Helper()
	commits = new(atomic.Int64)
	tables := factTables()
	c.ControlKey(int16(kmsg.OffsetCommit), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		commits.Add(1)
		for _, topic := range r.(*kmsg.OffsetCommitRequest).Topics {
			table := tables[topic.Topic]
			if table == "" {
				continue
			}
			for _, p := range topic.Partitions {
				want := produced().below(place{topic.Topic, p.Partition}, p.Offset)
				query := fmt.Sprintf("SELECT uniqExact(_offset) FROM %s.%s WHERE _topic = '%s' AND _partition = %d AND _offset < %d", d.Name, table, topic.Topic, p.Partition, p.Offset)
				var got uint64
				err := errors.New("never asked")
				for until := time.Now().Add(patience); err != nil && time.Now().Before(until); { // the engine may have been killed a moment ago
					err = d.Conn.QueryRow(context.Background(), query).Scan(&got)
				}
				if err != nil || got < uint64(want) { // what is being produced at this moment may be in already
					t.Errorf("offset %d of %s, partition %d, is committed with %d rows below it, want %d (%v)", p.Offset, topic.Topic, p.Partition, got, want, err)
				}
			}
		}
		return nil, nil, false
	})
	return commits
}

// deck chooses faults: each as often as the other, in random order, with an insert
// that goes through now and then, until none are left.
type deck struct {
	mu    sync.Mutex
	rng   *rand.Rand
	cards []sinktest.Fault
}

func newDeck(seed uint64, rounds int) *deck {
	d := &deck{rng: rand.New(rand.NewPCG(seed, 24))}
	for range rounds {
		for f := sinktest.None; f < sinktest.Faults; f++ {
			d.cards = append(d.cards, f, sinktest.None)
		}
	}
	d.rng.Shuffle(len(d.cards), func(i, j int) { d.cards[i], d.cards[j] = d.cards[j], d.cards[i] })
	return d
}

func (d *deck) draw(string) (sinktest.Fault, int32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.cards) == 0 {
		return sinktest.None, 0
	}
	f := d.cards[0]
	d.cards = d.cards[1:]
	codes := []int32{252, 241, 159, 209, 210, 242, 319, 425, 999, 3}
	return f, codes[d.rng.IntN(len(codes))]
}

func (d *deck) left() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.cards)
}

// TestFaultsOnTheWay: whatever happens between the sink and ClickHouse (cut before,
// amid and after an insert that was applied, exceptions of a server that is full, of
// memory or of Keeper, before and after it was applied, no answer, a wrong one, a slow
// one, no connection), every total is the log's, and no offset is ever ahead of the rows.
func TestFaultsOnTheWay(t *testing.T) {
	server := embeddedtest.ClickHouseForTest(t)
	for i := range *faultRounds {
		seed := *faultSeed + uint64(i)
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			d := sinktest.NewDatabase(t, server.Options(), fmt.Sprintf("faults%d", seed))
			c := broker(t)
			h := sinktest.New(seed, time.UTC, sinktest.Size{Customers: 60, Changes: 14, Orders: 9})
			produced := produce(t, c, h.Records(1))
			commits := neverAhead(t, c, d, func() places { return produced })
			cards := newDeck(seed, 1)
			p := sinktest.NewProxy(t, server.NativeAddr, cards.draw)
			cfg := config(c, d.Name)
			cfg.Batch.Rows, cfg.Batch.InFlight = 150, 3
			cfg.Retry.Timeout = time.Second // the shortest; what hangs takes as long
			r := start(t, cfg, through(t, server, p), zap.NewNop())
			eventually(t, "half of the faults are done", func() bool { return cards.left() < int(sinktest.Faults) })
			p.Away(true)
			failed := sum(t, r.registry, "lapwing_sink_insert_failures_total")
			eventually(t, "inserts fail while no connection is taken", func() bool { return sum(t, r.registry, "lapwing_sink_insert_failures_total") > failed+3 })
			p.Away(false)
			finish(t, r)
			check(t, d, totals(h))
			if cards.left() > 0 {
				t.Fatalf("%d faults were not done: too few inserts", cards.left())
			}
			seen := p.Seen()
			for f := sinktest.CutBeforeQuery; f < sinktest.Faults; f++ {
				if seen[f] == 0 {
					t.Errorf("%v was never done", f)
				}
			}
			if commits.Load() == 0 {
				t.Error("nothing was committed")
			}
			if t.Failed() {
				t.Logf("again: go test ./sink -run TestFaultsOnTheWay -fault.seed %d", seed)
			}
		})
	}
}

// TestCommitsInOrder: batches that are written while one before them is not wait for it
// with their offsets, however long; no offset is committed past the rows that are missing.
func TestCommitsInOrder(t *testing.T) {
	server := embeddedtest.ClickHouseForTest(t)
	d := sinktest.NewDatabase(t, server.Options(), "ordered")
	c := broker(t)
	h := sinktest.New(33, time.UTC, size)
	var records []batch.Record
	for _, r := range h.Records(1) {
		if r.Name == "activity" && r.Partition == 0 && len(records) < 60 {
			records = append(records, r)
		}
	}
	var inserts atomic.Int64
	p := sinktest.NewProxy(t, server.NativeAddr, func(statement string) (sinktest.Fault, int32) {
		if strings.Contains(statement, ".activity_log") && inserts.Add(1) == 1 {
			return sinktest.HangBefore, 0
		}
		return sinktest.None, 0
	})
	cfg := config(c, d.Name)
	cfg.Batch.Rows, cfg.Batch.InFlight, cfg.Retry.Timeout = 10, 3, time.Hour
	r := start(t, cfg, through(t, server, p), zap.NewNop())
	produce(t, c, records[:5])
	eventually(t, "the first batch hangs", func() bool { return p.Seen()[sinktest.HangBefore] == 1 })
	produce(t, c, records[5:])
	eventually(t, "two later batches are written", func() bool {
		return labelled(t, r.registry, "lapwing_sink_rows_total", "table", "activity_log") >= 20
	})
	if n := sum(t, r.registry, "lapwing_sink_in_flight_batches"); n != 3 {
		t.Errorf("%v batches are on their way, want the one that hangs and the two that wait for it", n)
	}
	if at := committed(t, c, cfg.GroupName()); at["lapwing.activity"][0] > 0 {
		t.Errorf("offset %d is committed while the first batch is not written", at["lapwing.activity"][0])
	}
	p.Cut()
	finish(t, r)
	if got, err := d.Text(context.Background(), "SELECT count() FROM ordered.activity"); err != nil || got != fmt.Sprintf("(%d)\n", len(records)) {
		t.Errorf("%q rows, %v, want %d", got, err, len(records))
	}
}

// TestTooManyParts: while ClickHouse refuses inserts because merges do not keep up,
// batches get larger, and all is written once there is room.
func TestTooManyParts(t *testing.T) {
	ctx := context.Background()
	server := embeddedtest.ClickHouseForTest(t)
	d := sinktest.NewDatabase(t, server.Options(), "parts")
	exec := func(statement string) {
		t.Helper()
		if err := d.Conn.Exec(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	// Two inserts fill the table; nothing merges them.
	exec("ALTER TABLE parts.activity_log MODIFY SETTING parts_to_throw_insert = 2, parts_to_delay_insert = 1, max_delay_to_insert = 1")
	exec("SYSTEM STOP MERGES parts.activity_log")
	c := broker(t)
	h := sinktest.New(21, time.UTC, size)
	cfg := config(c, d.Name)
	cfg.Batch.Rows = 20 // so that there are many more inserts than two
	r := start(t, cfg, connect(t, server), zap.NewNop())
	produce(t, c, h.Records(1))
	eventually(t, "ClickHouse has too many parts", func() bool { return labelled(t, r.registry, "lapwing_sink_insert_failures_total", "code", "252") > 0 })
	eventually(t, "batches are larger", func() bool { return sum(t, r.registry, "lapwing_sink_batch_factor") >= 2 })
	exec("ALTER TABLE parts.activity_log MODIFY SETTING parts_to_throw_insert = 3000, parts_to_delay_insert = 1000")
	exec("SYSTEM START MERGES parts.activity_log")
	finish(t, r)
	check(t, d, totals(h))
}

// halves are the first half of each partition, and the second.
func halves(records []batch.Record) (first, second []batch.Record) {
	count := map[place]int{}
	for i := range records {
		count[place{records[i].Topic, records[i].Partition}]++
	}
	for i := range records {
		if r := &records[i]; r.Offset < int64(count[place{r.Topic, r.Partition}]/2) {
			first = append(first, *r)
		} else {
			second = append(second, *r)
		}
	}
	return first, second
}

// TestTableAlteredUnderUs: a column dropped, renamed or narrowed while the sink runs
// ends it with what to do, and no row is shifted or converted; once that is done, or a
// column was only added, everything is written.
func TestTableAlteredUnderUs(t *testing.T) {
	ctx := context.Background()
	server := embeddedtest.ClickHouseForTest(t)
	for name, c := range map[string]struct{ change, back, says string }{
		"added":    {"ALTER TABLE {}.activity_log ADD COLUMN note String DEFAULT 'x' FIRST", "", ""},
		"dropped":  {"ALTER TABLE {}.activity_log DROP COLUMN currency", "ALTER TABLE {}.activity_log ADD COLUMN `currency` LowCardinality(Nullable(String))", "activity_log.currency is missing"},
		"renamed":  {"ALTER TABLE {}.activity_log RENAME COLUMN type TO kind", "ALTER TABLE {}.activity_log RENAME COLUMN `kind` TO `type`", "RENAME COLUMN `kind` TO `type`"},
		"narrowed": {"ALTER TABLE {}.order_items_log MODIFY COLUMN item UInt32 DEFAULT 0; ALTER TABLE {}.refunds_log MODIFY COLUMN value Decimal(9, 4)", "ALTER TABLE {}.refunds_log MODIFY COLUMN `value` Decimal(18, 4); ALTER TABLE {}.order_items_log MODIFY COLUMN item REMOVE DEFAULT", "refunds_log.value is Decimal(9, 4), want Decimal(18, 4)"},
	} {
		t.Run(name, func(t *testing.T) {
			d := sinktest.NewDatabase(t, server.Options(), "altered_"+name)
			exec := func(statements string) {
				t.Helper()
				for one := range strings.SplitSeq(strings.ReplaceAll(statements, "{}", d.Name), "; ") {
					if one == "" {
						continue
					}
					if err := d.Conn.Exec(ctx, one); err != nil {
						t.Fatal(err)
					}
				}
			}
			cluster := broker(t)
			h := sinktest.New(27, time.UTC, size)
			records := h.Records(1)
			var all places
			first, second := halves(records)
			all = produce(t, cluster, first)
			neverAhead(t, cluster, d, func() places { return all })
			cfg := config(cluster, d.Name)
			cfg.Batch.Rows = 100
			s, ended := run(t, cfg, connect(t, server))
			finish(t, s)
			exec(c.change)
			for at, offsets := range produce(t, cluster, second) {
				all[at] = append(all[at], offsets...)
			}
			if c.says != "" {
				select {
				case err := <-ended:
					if err == nil || !strings.Contains(err.Error(), c.says) {
						t.Fatalf("the sink ended with %v, want %q", err, c.says)
					}
				case <-time.After(patience):
					t.Fatal("the sink goes on")
				}
				// And the next one refuses to start.
				_, ended := run(t, cfg, connect(t, server))
				select {
				case err := <-ended:
					if err == nil || !strings.Contains(err.Error(), c.says) {
						t.Fatalf("another sink ended with %v, want %q", err, c.says)
					}
				case <-time.After(patience):
					t.Fatal("another sink goes on")
				}
				exec(c.back)
				s, _ = run(t, cfg, connect(t, server))
			}
			finish(t, s)
			check(t, d, totals(h))
		})
	}
}
