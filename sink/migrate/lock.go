// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"go.uber.org/zap"
)

// A lock on the migrations of a database, made of what ClickHouse does atomically
// without Keeper: a table's name is given once, and a table is renamed once.
//
// The lock is the table migrations_lock. Who creates it holds it; its comment names
// the holder, and the holder adds a row to it again and again. A lock without a new
// row for a lease's time, by the clock of the server, belongs to a dead runner. It is
// broken by renaming it to a name made of its UUID: of two who break it one succeeds,
// and nobody can take away a later lock in the belief that it is the dead one, since
// the name of the dead one is taken. So that this stays true the renamed table, which
// is empty or nearly so, is left for a day.
//
// A holder that was stopped for longer than its lease must not go on: it sends no
// statement unless its last sign of life is less than half a lease old, and waits for
// no answer beyond that age.
//
// The risk that is left: a statement that was sent in time, and which the network
// brings to ClickHouse more than half a lease later, after another runner has taken
// over. It creates what is there already, or puts one view back to the text it has in
// that statement's migration; two runners of the same binary cannot harm each other so.

// ErrLocked says that another runner holds the lock, and goes on holding it.
var ErrLocked = errors.New("another lapwing is migrating this database")

// errLost says that this runner may no longer be the only one.
var errLost = errors.New("the lock on the migrations was not renewed in time")

type lockTimes struct {
	lease time.Duration // without a sign of life the holder is dead
	beat  time.Duration // between two signs of life
	look  time.Duration // between two looks at a lock held by another
	wait  time.Duration // for another at most
}

func defaultTimes() lockTimes {
	return lockTimes{lease: time.Minute, beat: 10 * time.Second, look: time.Second, wait: 10 * time.Minute}
}

const (
	lockTable   = "migrations_lock"
	lockComment = "Lock of lapwing migrate, held by "
	// keepBroken is for how long a broken lock's name stays taken: longer than anybody
	// who read the dead one could take to act.
	keepBroken = 24 * time.Hour
)

// ClickHouse's codes.
const (
	codeUnknownTable  = 60
	codeTableExists   = 57
	codeUnknownObject = 218 // system.tables named a table that is gone
	codeBadTTL        = 450
)

func hasCode(err error, codes ...int32) bool {
	e, ok := errors.AsType[*ch.Exception](err)
	if !ok {
		return false
	}
	for _, code := range codes {
		if e.Code == code {
			return true
		}
	}
	return false
}

// lock is a held lock.
type lock struct {
	m      *Migrator
	holder string
	id     string // made of the table's UUID; the name it is renamed to
	stop   context.CancelFunc
	beats  sync.WaitGroup

	mu     sync.Mutex
	alive  time.Time // before the last sign of life was sent
	missed bool      // it was once too late
}

// held is a lock as the server shows it.
type held struct {
	Holder string  `ch:"holder"`
	ID     string  `ch:"id"`
	Age    float64 `ch:"age"` // seconds since the last sign of life
}

// acquire takes the lock, waiting while another runner lives.
func (m *Migrator) acquire(ctx context.Context) (*lock, error) {
	holder, err := newHolder()
	if err != nil {
		return nil, err
	}
	giveUp := time.Now().Add(m.times.wait)
	waiting := ""
	for {
		l, err := m.tryAcquire(ctx, holder)
		if l != nil || err != nil {
			return l, err
		}
		other, err := m.holding(ctx)
		if err != nil {
			return nil, err
		}
		late := time.Now().After(giveUp)
		switch {
		case other == nil && late:
			return nil, fmt.Errorf("%w, or this user cannot see its lock: grant it SELECT on %s", ErrLocked, m.name())
		case other == nil: // it was released just now, or cannot be seen
		case other.Age > m.times.lease.Seconds():
			if err := m.breakLock(ctx, *other); err != nil {
				return nil, err
			}
		case late:
			return nil, fmt.Errorf("%w: %s, which gave a sign of life %.0f s ago", ErrLocked, other.Holder, other.Age)
		case waiting != other.Holder:
			waiting = other.Holder
			m.log.Warn("another lapwing is migrating this database: waiting for it", zap.String("holder", waiting))
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(m.times.look):
		}
	}
}

// newHolder is a name for this runner that no other has.
func newHolder() (string, error) {
	random := make([]byte, 8)
	if _, err := rand.Read(random); err != nil {
		return "", fmt.Errorf("name this runner: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	plain := strings.Map(func(r rune) rune { // it is put into SQL
		if r == '-' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, host)
	return fmt.Sprintf("%s:%d:%s", plain, os.Getpid(), hex.EncodeToString(random)), nil
}

func (m *Migrator) name() string { return m.layout.Database + "." + lockTable }

// tryAcquire returns nil, nil if another holds the lock.
func (m *Migrator) tryAcquire(ctx context.Context, holder string) (*lock, error) {
	engine := "MergeTree"
	if m.layout.Cluster != "" { // on every server, in one order: the first wins on all
		engine = "ReplicatedMergeTree('/clickhouse/tables/{uuid}/all', '{shard}-{replica}')"
	}
	l := &lock{m: m, holder: holder, alive: time.Now()}
	err := m.conn.Exec(ctx, fmt.Sprintf(`CREATE TABLE %s%s
(
    holder String COMMENT 'Host, process and a random number of the lapwing that holds the lock.',
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'When it gave a sign of life (wall clock of the server, UTC).'
)
ENGINE = %s
ORDER BY at
COMMENT '%s%s'`, m.name(), m.layout.OnCluster(), engine, lockComment, holder))
	if hasCode(err, codeTableExists) {
		return nil, nil //nolint:nilnil // said above
	}
	if err != nil {
		return nil, fmt.Errorf("take the lock on the migrations: %w", err)
	}
	mine, err := m.holding(ctx)
	if err != nil {
		return nil, err
	}
	if mine == nil || mine.Holder != holder {
		return nil, fmt.Errorf("take the lock on the migrations: %w", errLost)
	}
	l.id = mine.ID
	if err := l.beat(ctx); err != nil {
		return nil, err
	}
	beating, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	l.beats.Go(func() { l.keepAlive(beating) })
	if err := m.sweep(ctx); err != nil {
		m.log.Warn("old locks on the migrations were not removed", zap.Error(err))
	}
	return l, nil
}

// holding is who holds the lock; nil if nobody does.
func (m *Migrator) holding(ctx context.Context) (*held, error) {
	var tables []held
	err := m.conn.Select(ctx, &tables, `SELECT substring(comment, ?) AS holder, replaceAll(toString(uuid), '-', '') AS id,
    toFloat64(now64(3)) - toFloat64(toDateTime64(metadata_modification_time, 3)) AS age
FROM system.tables WHERE database = ? AND name = ?`, len(lockComment)+1, m.layout.Database, lockTable)
	if err != nil && !hasCode(err, codeUnknownTable, codeUnknownObject) {
		return nil, fmt.Errorf("look for the lock on the migrations: %w", err)
	}
	if len(tables) == 0 {
		return nil, nil //nolint:nilnil // said above
	}
	found := tables[0]
	var since *float64
	err = m.conn.QueryRow(ctx, `SELECT toFloat64(now64(3)) - toFloat64(maxOrNull(at)) FROM `+m.name()+` WHERE holder = ?`, found.Holder).Scan(&since)
	switch {
	case hasCode(err, codeUnknownTable, codeUnknownObject):
		return nil, nil //nolint:nilnil // released in between
	case err != nil:
		return nil, fmt.Errorf("read the lock on the migrations: %w", err)
	case since != nil:
		found.Age = *since
	}
	return &found, nil
}

// breakLock takes the lock of a dead runner away; it does nothing if another did, or if
// the runner has released it.
func (m *Migrator) breakLock(ctx context.Context, dead held) error {
	m.log.Warn("the lapwing that was migrating this database is gone: going on in its place", zap.String("holder", dead.Holder), zap.Float64("seconds", dead.Age))
	err := m.rename(ctx, dead.ID)
	if hasCode(err, codeTableExists, codeUnknownTable) {
		return nil
	}
	return err
}

func (m *Migrator) rename(ctx context.Context, id string) error {
	if err := m.conn.Exec(ctx, fmt.Sprintf(`RENAME TABLE %s TO %s_%s%s`, m.name(), m.name(), id, m.layout.OnCluster())); err != nil {
		return fmt.Errorf("put a lock on the migrations aside: %w", err)
	}
	return nil
}

func (m *Migrator) drop(ctx context.Context, table string) error {
	return m.conn.Exec(ctx, fmt.Sprintf(`DROP TABLE IF EXISTS %s.%s%s SYNC`, m.layout.Database, table, m.layout.OnCluster()))
}

// sweep drops the locks that were broken long ago.
func (m *Migrator) sweep(ctx context.Context) error {
	var old []struct {
		Name string `ch:"name"`
	}
	if err := m.conn.Select(ctx, &old, `SELECT name FROM system.tables WHERE database = ? AND name LIKE ? AND metadata_modification_time < now() - ?`,
		m.layout.Database, strings.ReplaceAll(lockTable, "_", `\_`)+`\_%`, int64(keepBroken.Seconds())); err != nil {
		return fmt.Errorf("look for broken locks: %w", err)
	}
	for _, one := range old {
		if err := m.drop(ctx, one.Name); err != nil {
			return fmt.Errorf("drop %s: %w", one.Name, err)
		}
	}
	return nil
}

// beat gives a sign of life.
func (l *lock) beat(ctx context.Context) error {
	now := time.Now()
	if err := l.m.conn.Exec(ctx, fmt.Sprintf(`INSERT INTO %s (holder) SETTINGS async_insert = 0 VALUES ('%s')`, l.m.name(), l.holder)); err != nil {
		return fmt.Errorf("renew the lock on the migrations: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alive = now
	return nil
}

func (l *lock) keepAlive(ctx context.Context) {
	tick := time.NewTicker(l.m.times.beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, err := l.deadline(); err != nil {
				return // a sign of life after that would mislead
			}
			if err := l.beat(ctx); err != nil && ctx.Err() == nil {
				l.m.log.Warn("the lock on the migrations was not renewed", zap.Error(err))
			}
		}
	}
}

// deadline is until when this runner is surely the only one.
func (l *lock) deadline() (time.Time, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	until := l.alive.Add(l.m.times.lease / 2)
	if l.missed = l.missed || time.Now().After(until); l.missed {
		return until, errLost
	}
	return until, nil
}

// exec carries out a statement while this runner is surely the only one. Its time is
// extended by signs of life that are given meanwhile.
func (l *lock) exec(ctx context.Context, statement string) error {
	until, err := l.deadline()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			timer := time.NewTimer(time.Until(until))
			select {
			case <-done:
				timer.Stop()
				return
			case <-timer.C:
			}
			if until, err = l.deadline(); err != nil {
				cancel(err)
				return
			}
		}
	})
	failed := l.m.conn.Exec(ctx, statement)
	close(done)
	watch.Wait()
	if failed != nil && errors.Is(context.Cause(ctx), errLost) {
		return errLost
	}
	return failed
}

// release gives the lock back. The rename is what makes sure that it is this one: it
// fails if another has broken it.
func (l *lock) release() error {
	l.stop()
	l.beats.Wait()
	_, late := l.deadline()
	ctx, cancel := context.WithTimeout(context.Background(), l.m.times.lease/2) // also when the caller's has ended
	defer cancel()
	err := l.m.rename(ctx, l.id)
	if hasCode(err, codeTableExists, codeUnknownTable) {
		return nil // broken by another, which goes on
	}
	if err != nil || late != nil { // somebody may be about to break it: its name stays taken
		return err
	}
	if err := l.m.drop(ctx, lockTable+"_"+l.id); err != nil {
		return fmt.Errorf("drop the lock on the migrations: %w", err)
	}
	return nil
}
