// SPDX-License-Identifier: Apache-2.0

// Package reconcile compares ClickHouse's tables with Kafka's log, finds every row that
// is missing, altered, replaced or too much, and inserts again what the log says.
//
// It exists for what no writer can notice: a server that said yes and lost the rows, a
// restore of an old backup, a hand that deleted too much. It reads committed records
// from the log's start up to what the sink has committed, so lag is no difference, and
// rows are made from them as the sink makes them. What differs is found by counts and
// sums of hashes over ranges of offsets, narrowed until only rows that differ are left
// (sink/compare); of values that replace each other, by the newest per key.
//
// A comparison only reads. It may run beside a sink that writes.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/topics"
	"lapwing/sink/batch"
	"lapwing/sink/committed"
	"lapwing/sink/compare"
	"lapwing/sink/writer"
)

// Config is what to compare.
type Config struct {
	Brokers []string
	Prefix  string // of Lapwing's topics
	// Group is the sink's consumer group, with its generation: what it has committed is
	// compared.
	Group string
	// Generation is the one whose records and rows are compared.
	Generation uint16
	Database   string
	// Topics limits the comparison to these, named without the prefix; empty: all.
	Topics []string
	// RowsPerSecond bounds how fast the log and the tables are read; 0: no bound.
	RowsPerSecond int
	// MaxKeys bounds the memory for values that replace each other: of more keys in one
	// partition, the log is read once more for each part.
	MaxKeys int
	// Patience is how long a repair tries to insert; 0: for ever.
	Patience time.Duration
}

// DefaultMaxKeys is a MaxKeys that takes some 200 MB.
const DefaultMaxKeys = 2_000_000

// Deps are what a Reconciler is given.
type Deps struct {
	KafkaOpts  []kgo.Opt
	ClickHouse driver.Conn
	// Writer inserts what is missing; only Repair needs it.
	Writer *writer.Writer
	// Erased are the customers whose erasure is on record: whatever log and tables still
	// have of them is compared no more. Nil: nobody.
	Erased func(context.Context) ([]string, error)
	// Progress, if not nil, is told how many of how many offsets of the log are read.
	// It is called from several goroutines, one at a time.
	Progress func(what string, done, total int64)
}

// Reconciler compares. It holds no connection of its own between calls.
type Reconciler struct {
	cfg  Config
	deps Deps
}

// New returns a Reconciler.
func New(cfg Config, deps Deps) (*Reconciler, error) {
	switch {
	case len(cfg.Brokers) == 0 || cfg.Group == "" || cfg.Generation == 0 || cfg.Database == "" || deps.ClickHouse == nil:
		return nil, errors.New("reconcile: brokers, a group, a generation, a database and a ClickHouse connection are needed")
	case cfg.RowsPerSecond < 0 || cfg.MaxKeys < 0:
		return nil, errors.New("reconcile: a bound is negative")
	}
	for _, name := range cfg.Topics {
		if !slices.Contains(batch.Topics(), name) {
			return nil, fmt.Errorf("topic %q is not one that goes to ClickHouse: want %s", name, strings.Join(batch.Topics(), ", "))
		}
	}
	if len(cfg.Topics) == 0 {
		cfg.Topics = batch.Topics()
	}
	if cfg.MaxKeys == 0 {
		cfg.MaxKeys = DefaultMaxKeys
	}
	return &Reconciler{cfg, deps}, nil
}

// valueTables are the tables of the topics whose records replace each other by key. All
// other tables hold facts.
var valueTables = map[string][]batch.Table{
	topics.Profiles: {batch.Profiles}, topics.Aggregates: {batch.Aggregates, batch.Settings}, topics.Definitions: {batch.Definitions},
}

// factTables are all other tables.
func factTables() []batch.Table {
	return slices.DeleteFunc(batch.Tables(), func(t batch.Table) bool {
		for _, tables := range valueTables {
			if slices.Contains(tables, t) {
				return true
			}
		}
		return false
	})
}

// maxAttempts bounds how often a comparison begins anew because of that.
const maxAttempts = 3

// Compare reads log and tables, and returns what differs.
func (r *Reconciler) Compare(ctx context.Context) (*Report, error) {
	report, _, err := r.compare(ctx, nil)
	return report, err
}

// compare looks at everything, or only at where an earlier report found differences.
func (r *Reconciler) compare(ctx context.Context, only *Report) (*Report, *run, error) {
	for attempt := 1; ; attempt++ {
		report, run, err := r.once(ctx, only)
		if err == nil || attempt == maxAttempts || !errors.Is(err, committed.ErrTrimmed) {
			return report, run, err
		}
	}
}

func (r *Reconciler) once(ctx context.Context, only *Report) (*Report, *run, error) {
	run, err := r.prepare(ctx)
	if err != nil {
		return nil, nil, err
	}
	facts, latest := run.scope.facts, run.scope.latest
	if only == nil {
		run.expect(facts, latest)
		err = run.facts(ctx, facts)
	} else {
		latest = slices.DeleteFunc(slices.Clone(latest), func(s latestSpan) bool { return !only.names(s.Topic, s.Partition) })
		cells := only.cells()
		run.expect(compare.Within(facts, cells, compare.Leaf), latest)
		err = run.rows(ctx, facts, cells)
	}
	if err != nil {
		return nil, nil, err
	}
	if err := run.values(ctx, latest); err != nil {
		return nil, nil, err
	}
	return run.report(), run, nil
}

// cells are the smallest cells in which the report has differences.
func (r *Report) cells() []compare.Cell {
	var cells []compare.Cell
	for i := range r.Entries {
		e := &r.Entries[i]
		last := int64(-1)
		for _, set := range []compare.Offsets{e.Missing, e.Altered, e.Stale, e.Surplus} {
			for _, run := range set {
				for n := run.First / compare.Leaf; n <= run.Last/compare.Leaf; n++ {
					if n != last {
						cells = append(cells, compare.Cell{Table: e.Table, Topic: e.Topic, Partition: e.Partition, Number: n})
					}
					last = n
				}
			}
		}
	}
	return cells
}

func (r *Report) names(topic string, partition int32) bool {
	return slices.ContainsFunc(r.Entries, func(e Entry) bool {
		return e.Topic == topic && e.Partition == partition && e.Differing > 0
	})
}
