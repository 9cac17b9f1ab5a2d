// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"lapwing/deploy/embedded/embeddedtest"
	schema "lapwing/schemas/clickhouse"
)

// wire is a connection whose statements a test sees, and may cut.
type wire struct {
	driver.Conn
	before func(statement string) error // nil: carry it out
	after  func(statement string)
}

func (w *wire) Exec(ctx context.Context, statement string, args ...any) error {
	if err := w.before(statement); err != nil {
		return err
	}
	err := w.Conn.Exec(ctx, statement, args...)
	if w.after != nil {
		w.after(statement)
	}
	return err
}

// isWork tells a migration's statements from those of the lock.
func isWork(statement string) bool {
	return !strings.Contains(statement, lockTable) && !strings.HasPrefix(statement, "CREATE DATABASE") && !strings.Contains(statement, ".migrations\n")
}

var quick = lockTimes{lease: time.Second, beat: 100 * time.Millisecond, look: 10 * time.Millisecond, wait: time.Minute}

func few(t *testing.T, conn driver.Conn, database string, times lockTimes) *Migrator {
	t.Helper()
	m, err := newMigrator(conn, schema.Layout{Database: database}, []schema.Migration{
		migration(1, "one", "Int8"), migration(2, "two", "Int8"), migration(3, "three", "Int8"),
	}, zaptest.NewLogger(t))
	if err != nil {
		t.Fatal(err)
	}
	m.times = times
	return m
}

// TestOneAtATime: of runners at the same time one works at any moment, and only one
// does anything; the others wait, and then find nothing left to do.
func TestOneAtATime(t *testing.T) {
	ctx := context.Background()
	conn := open(t, embeddedtest.ClickHouseForTest(t))
	const runners = 8
	var mu sync.Mutex
	var log []int
	var did atomic.Int32
	var group sync.WaitGroup
	for runner := range runners {
		group.Go(func() {
			w := &wire{Conn: conn, before: func(statement string) error {
				if isWork(statement) {
					mu.Lock()
					log = append(log, runner)
					mu.Unlock()
				}
				return nil
			}}
			done, err := few(t, w, "shared", defaultTimes().with(10*time.Millisecond)).Apply(ctx)
			if err != nil {
				t.Errorf("runner %d: %v", runner, err)
			}
			if len(done) > 0 {
				did.Add(1)
			}
		})
	}
	group.Wait()
	if did.Load() != 1 {
		t.Errorf("%d runners carried something out, want 1", did.Load())
	}
	if len(slices.Compact(slices.Clone(log))) != 1 || len(log) != 6 {
		t.Errorf("statements came from the runners %v: want six from one", log)
	}
	if left := names(t, conn, "SELECT name FROM system.tables WHERE database = 'shared' AND name LIKE 'migrations\\_%'"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// with is how often to look, in a test.
func (l lockTimes) with(look time.Duration) lockTimes {
	l.look = look
	return l
}

// TestCutAnywhere: a runner that dies after any statement of its, those of the lock
// included, is finished by the next, and the end is the same.
func TestCutAnywhere(t *testing.T) {
	ctx := context.Background()
	conn := open(t, embeddedtest.ClickHouseForTest(t))
	errCut := errors.New("cut")
	for after := 0; ; after++ {
		database := fmt.Sprintf("cut_%d", after)
		sent := 0
		var mu sync.Mutex
		dying := &wire{Conn: conn, before: func(statement string) error {
			mu.Lock()
			defer mu.Unlock()
			if sent == after {
				return errCut // and so is all that follows, the release too: it is dead
			}
			sent++
			return nil
		}}
		_, err := few(t, dying, database, defaultTimes()).Apply(ctx)
		m := few(t, conn, database, defaultTimes())
		if dead, err := m.holding(ctx); err == nil && dead != nil { // as if its lease had run out
			if err := m.breakLock(ctx, *dead); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := m.Apply(ctx); err != nil {
			t.Errorf("after a cut behind statement %d: %v", after, err)
		}
		all, bad := m.Check(ctx)
		if bad != nil || anyPending(all) {
			t.Errorf("after a cut behind statement %d something is pending, %v", after, bad)
		}
		if tables := names(t, conn, "SELECT name FROM system.tables WHERE database = '"+database+"' AND name IN ('one', 'two', 'three')"); len(tables) != 3 {
			t.Errorf("after a cut behind statement %d there is %v", after, tables)
		}
		if rows := names(t, conn, "SELECT name FROM "+database+".migrations FINAL ORDER BY version"); !slices.Equal(rows, []string{"one", "two", "three"}) {
			t.Errorf("after a cut behind statement %d these are recorded: %v", after, rows)
		}
		if err == nil { // nothing was cut any more
			if after < 12 {
				t.Errorf("only %d statements to cut behind", after)
			}
			return
		}
		if !errors.Is(err, errCut) {
			t.Fatalf("statement %d: %v", after, err)
		}
	}
}

// TestDeadHolder: the lock of a runner that gives no sign of life is taken over once,
// however many want it; that of a living one is not, and whoever waits too long says
// for whom.
func TestDeadHolder(t *testing.T) {
	ctx := context.Background()
	conn := open(t, embeddedtest.ClickHouseForTest(t))
	first := few(t, conn, "held", quick)
	for _, statement := range first.prepare() {
		if err := conn.Exec(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	living, err := first.acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	short := quick
	short.wait = 2 * quick.lease
	if _, err := few(t, conn, "held", short).acquire(ctx); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), living.holder) {
		t.Errorf("waiting for a living holder: %v", err)
	}
	living.stop() // the process hangs
	living.beats.Wait()

	var holding, taken atomic.Int32
	var group sync.WaitGroup
	for range 6 {
		group.Go(func() {
			l, err := few(t, conn, "held", quick).acquire(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			if n := holding.Add(1); n != 1 {
				t.Errorf("%d hold the lock", n)
			}
			taken.Add(1)
			holding.Add(-1)
			if err := l.release(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if taken.Load() != 6 {
		t.Errorf("%d of 6 got the lock", taken.Load())
	}
	if err := living.exec(ctx, "CREATE TABLE held.late (a Int8) ENGINE = Memory"); !errors.Is(err, errLost) {
		t.Errorf("a holder that hung goes on: %v", err)
	}
	if err := living.release(); err != nil {
		t.Errorf("release of a lost lock: %v", err)
	}
	if late := names(t, conn, "SELECT name FROM system.tables WHERE database = 'held' AND name = 'late'"); len(late) > 0 {
		t.Error("a holder that hung carried something out")
	}
	// The dead one's name stays taken, so that nobody who saw it can take a later one.
	if err := first.breakLock(ctx, held{Holder: living.holder, ID: living.id}); err != nil {
		t.Errorf("breaking what was broken: %v", err)
	}
	l, err := first.acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.breakLock(ctx, held{Holder: living.holder, ID: living.id}); err != nil {
		t.Error(err)
	}
	if now, err := first.holding(ctx); err != nil || now == nil || now.Holder != l.holder {
		t.Errorf("the lock of a living runner was taken for that of a dead one: %v, %v", now, err)
	}
	if err := l.release(); err != nil {
		t.Error(err)
	}
}

// blind is a connection of a user who cannot see the lock, and counts how often it is wanted.
type blind struct {
	wire
	tries atomic.Int32
}

func (b *blind) Select(ctx context.Context, into any, query string, args ...any) error {
	if strings.Contains(query, "FROM system.tables") {
		query, args = "SELECT '' AS holder, '' AS id, 0. AS age WHERE 0", nil
	}
	return b.wire.Select(ctx, into, query, args...)
}

// TestLockThatCannotBeSeen: who finds the lock taken and cannot see it waits between two
// attempts, and in the end says what it lacks.
func TestLockThatCannotBeSeen(t *testing.T) {
	ctx := context.Background()
	conn := open(t, embeddedtest.ClickHouseForTest(t))
	first := few(t, conn, "hidden", quick)
	if err := conn.Exec(ctx, first.layout.CreateDatabase()); err != nil {
		t.Fatal(err)
	}
	l, err := first.acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	w := &blind{wire: wire{Conn: conn}}
	w.before = func(string) error { w.tries.Add(1); return nil }
	short := quick
	short.look, short.wait = 200*time.Millisecond, time.Second
	if _, err := few(t, w, "hidden", short).acquire(ctx); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "grant it SELECT on hidden.migrations_lock") {
		t.Errorf("a lock that cannot be seen: %v", err)
	}
	if n := w.tries.Load(); n > 7 {
		t.Errorf("%d attempts in a second, want one in 200 ms", n)
	}
	if err := l.release(); err != nil {
		t.Error(err)
	}
}

// TestLosesInTime: a runner whose signs of life fail stops before another may take over,
// also in the midst of a statement.
func TestLosesInTime(t *testing.T) {
	ctx := context.Background()
	conn := open(t, embeddedtest.ClickHouseForTest(t))
	broken := errors.New("no way to the server")
	var acquired atomic.Bool
	w := &wire{Conn: conn, before: func(statement string) error {
		if strings.HasPrefix(statement, "INSERT INTO lost."+lockTable) && acquired.Swap(true) {
			return broken
		}
		return nil
	}}
	m := few(t, w, "lost", quick)
	if err := conn.Exec(ctx, m.layout.CreateDatabase()); err != nil {
		t.Fatal(err)
	}
	l, err := m.acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := l.exec(ctx, "SELECT sleepEachRow(0.1) FROM numbers(100) SETTINGS max_block_size = 1 FORMAT Null"); !errors.Is(err, errLost) {
		t.Errorf("a long statement without signs of life ended with %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it ended only after %v", took)
	}
	if err := l.release(); err != nil {
		t.Error(err)
	}
	if left := names(t, conn, "SELECT name FROM system.tables WHERE database = 'lost' AND name LIKE 'migrations\\_lock\\_%'"); len(left) != 1 {
		t.Errorf("a lock that was not renewed in time leaves %v: want its name to stay taken", left)
	}
}

// TestPlan: what a dry run prints is, statement for statement, what Apply then does.
func TestPlan(t *testing.T) {
	ctx := context.Background()
	conn := open(t, embeddedtest.ClickHouseForTest(t))
	var did []string
	var mu sync.Mutex
	w := &wire{Conn: conn, before: func(statement string) error {
		mu.Lock()
		defer mu.Unlock()
		if !strings.Contains(statement, lockTable) {
			did = append(did, statement)
		}
		return nil
	}}
	m, err := New(w, schema.Layout{Database: "planned"}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	plan, err := m.Plan(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if found := names(t, conn, "SELECT name FROM system.databases WHERE name = 'planned'"); len(found) > 0 || len(did) > 0 {
		t.Errorf("planning did %v", did)
	}
	if _, err := m.Apply(ctx); err != nil {
		t.Fatal(err)
	}
	if len(plan) < 30 || !slices.Equal(plan, did) {
		t.Errorf("planned %d statements, carried out %d, not the same", len(plan), len(did))
	}
	if plan, err = m.Plan(ctx); err != nil || len(plan) > 0 {
		t.Errorf("planning again: %d statements, %v", len(plan), err)
	}
}
