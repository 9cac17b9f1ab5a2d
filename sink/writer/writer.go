// SPDX-License-Identifier: Apache-2.0

// Package writer inserts batches into ClickHouse: synchronously, one block per
// insert, again and again until ClickHouse has said yes.
//
// A yes means that the rows are there. No answer means nothing, so the same rows
// are sent again; the tables make the repeat harmless.
package writer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/cenkalti/backoff/v4"
	"go.uber.org/zap"

	"lapwing/sink/batch"
)

// Config is how to insert. Zero values are refused by the sink's Validate; start
// from its Default.
type Config struct {
	Database        string
	InitialInterval time.Duration // wait after the first failure
	MaxInterval     time.Duration // longest wait between two attempts
	Timeout         time.Duration // of one attempt, after which its outcome is unknown and it is sent again
}

// Hooks observe a Writer; nil functions are not called.
type Hooks struct {
	Inserted func(t batch.Table, rows int, took time.Duration)
	Failed   func(t batch.Table, class Class, code int32)
	Skipped  func(t batch.Table, rows int)
}

// Writer inserts. It is safe for concurrent use.
type Writer struct {
	conn   driver.Conn
	cfg    Config
	log    *zap.Logger
	hooks  Hooks
	blocks blocks
	// retrying counts the inserts whose last attempt has failed.
	retrying atomic.Int64
	outage   outage
}

// New returns a Writer on conn.
func New(conn driver.Conn, cfg Config, log *zap.Logger, hooks Hooks) *Writer {
	return &Writer{conn: conn, cfg: cfg, log: log.Named("writer"), hooks: hooks, blocks: newBlocks()}
}

// settings of every insert. They are sent each time, since their defaults differ
// between releases of ClickHouse and a profile may hold others.
func settings() ch.Settings {
	return ch.Settings{
		"async_insert": 0,
		// Nor in a cluster does the server drop a repeat: it notes an insert before it keeps its rows, and killed
		// in between it would drop the repeat that brings them.
		"insert_deduplicate": 0,
		// In a cluster a Distributed table says yes when the shards have.
		"distributed_foreground_insert": 1,
		// Replacing on insert too would double the engine's work and spare no reader
		// anything: rows of one key seldom meet in one batch.
		"optimize_on_insert": 0,
	}
}

// Retrying is how many inserts have failed and are tried again.
func (w *Writer) Retrying() int { return int(w.retrying.Load()) }

// Insert returns once the rows are in ClickHouse. It retries without end while ctx
// lives. A row that ClickHouse refuses is kept in the table of unreadable records
// instead. Any other error means that a person has to look (Halt), or that ctx ended:
// then it is the cause of that.
func (w *Writer) Insert(ctx context.Context, in batch.Insert) error {
	err := w.Retry(ctx, "insert into "+in.Table.Name(), func(ctx context.Context) error {
		began := time.Now()
		err := w.once(ctx, in)
		if err == nil && w.hooks.Inserted != nil {
			w.hooks.Inserted(in.Table, len(in.Rows), time.Since(began))
		}
		if err != nil && ctx.Err() == nil && w.hooks.Failed != nil {
			w.hooks.Failed(in.Table, Classify(err), Code(err))
		}
		return err
	})
	if err == nil || ctx.Err() != nil || Classify(err) != Skip {
		return err
	}
	return w.split(ctx, in, err)
}

// Retry calls attempt until it succeeds, fails in a way that is not retried, or ctx
// ends, which gives the cause of that.
func (w *Writer) Retry(ctx context.Context, what string, attempt func(ctx context.Context) error) error {
	policy := backoff.NewExponentialBackOff()
	policy.InitialInterval, policy.MaxInterval = w.cfg.InitialInterval, w.cfg.MaxInterval
	policy.MaxInterval = time.Duration(float64(policy.MaxInterval) / (1 + policy.RandomizationFactor)) // what chance adds included
	policy.InitialInterval = min(policy.InitialInterval, policy.MaxInterval)
	policy.MaxElapsedTime = 0 // for ever: giving up would lose rows or stop for good
	policy.Reset()
	failed := false
	err := backoff.RetryNotify(func() error {
		err := attempt(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return backoff.Permanent(context.Cause(ctx))
		case Classify(err) != Retry:
			return backoff.Permanent(err)
		}
		if !failed {
			failed = true
			w.retrying.Add(1)
		}
		return err
	}, backoff.WithContext(policy, ctx), func(err error, wait time.Duration) {
		level := zap.DebugLevel
		if w.outage.failed(Code(err), time.Now()) {
			level = zap.WarnLevel
		}
		w.log.Log(level, "ClickHouse did not take it; it is tried again until it does", zap.String("what", what),
			zap.Int32("code", Code(err)), zap.Duration("wait", wait), zap.Int("retrying_inserts", w.Retrying()), zap.Error(err))
	})
	if failed && w.retrying.Add(-1) == 0 {
		if after := w.outage.over(time.Now()); err == nil {
			w.log.Info("ClickHouse takes everything again", zap.Duration("after", after))
		}
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// split finds the rows that ClickHouse refuses by halves, inserts the others, and
// keeps the refused ones as unreadable. Insert calls it again for each half.
func (w *Writer) split(ctx context.Context, in batch.Insert, cause error) error {
	if n := len(in.Rows); n > 1 {
		for _, half := range [][]batch.Row{in.Rows[:n/2], in.Rows[n/2:]} {
			if err := w.Insert(ctx, batch.Insert{Table: in.Table, Rows: half}); err != nil {
				return err
			}
		}
		return nil
	}
	if in.Table == batch.Unreadable {
		return fmt.Errorf("insert into %s: %w", in.Table.Name(), cause)
	}
	w.log.Warn("row refused by ClickHouse", append(named(in), zap.Int32("code", Code(cause)))...)
	if w.hooks.Skipped != nil {
		w.hooks.Skipped(in.Table, 1)
	}
	return w.Insert(ctx, batch.Refused(in, cause))
}

// named says in a log which insert it was.
func named(in batch.Insert) []zap.Field {
	topic, partition, offset := in.First()
	return []zap.Field{
		zap.String("table", in.Table.Name()), zap.Int("rows", len(in.Rows)),
		zap.String("topic", topic), zap.Uint32("partition", partition), zap.Uint64("first_offset", offset),
	}
}

// errNoAnswer says that an attempt took longer than it may. Its outcome is unknown.
var errNoAnswer = errors.New("no answer from ClickHouse in time")

// once makes one attempt, and does not wait longer for it than it may take: the driver
// keeps its deadline by the socket, and there is code of it, of the network and of the
// server in between. What it leaves behind ends with its connection.
func (w *Writer) once(ctx context.Context, in batch.Insert) error {
	attempt, cancel := context.WithTimeoutCause(ctx, w.cfg.Timeout, errNoAnswer)
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- w.insert(attempt, in) }()
	select {
	case err := <-result:
		if err != nil && attempt.Err() != nil {
			return context.Cause(attempt)
		}
		return err
	case <-attempt.Done():
	}
	// It has been told to end. Wait for that a little: the rows are its until then.
	late := time.NewTimer(watchdog)
	defer late.Stop()
	select {
	case err := <-result:
		if err == nil {
			return nil // the answer came on the last moment
		}
	case <-late.C:
		w.log.Error("an insert does not end although it was told to; it is left alone", named(in)...)
	}
	return context.Cause(attempt)
}

// watchdog is how long after its end an attempt may take to notice.
const watchdog = 5 * time.Second

// insert sends the rows in one block and waits for the answer.
func (w *Writer) insert(ctx context.Context, in batch.Insert) error {
	columns := in.Table.Columns()
	for i, c := range columns {
		columns[i] = "`" + c + "`"
	}
	b, err := w.conn.PrepareBatch(ch.Context(ctx, ch.WithSettings(settings())),
		"INSERT INTO "+w.cfg.Database+"."+in.Table.Name()+" ("+strings.Join(columns, ", ")+")")
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	defer func() { _ = b.Close() }() // after Send there is nothing left to close
	if err := w.blocks.fill(in.Table, b.Columns(), in.Rows); err != nil {
		_ = b.Abort()
		// The table's types are not those this binary was built for.
		return Fatal(err)
	}
	if err := b.Send(); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}
