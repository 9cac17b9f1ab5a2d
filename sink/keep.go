// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	schema "lapwing/schemas/clickhouse"
	"lapwing/sink/kpi"
)

const (
	// keepLook is how often it is looked whether KPIs are to be kept anew.
	keepLook = time.Minute
	// keepAnew is after which time they are, whatever has changed: well before what is kept
	// counts no more, and soon enough for rows that have reached their end in ClickHouse.
	keepAnew = 12 * time.Hour
	// keepTimeout and keepMemory are for one KPI: what needs more is not kept, so that inserts
	// have the rest of the server. Groups and sorts go to its disk long before.
	keepTimeout = 30 * time.Minute
	keepMemory  = 4 << 30
)

// keeper keeps KPIs, as long as this member is the one to do so: one after the other, each
// on one core, with pauses between them, so that inserts have the rest of the time.
type keeper struct {
	every time.Duration
	share int // per cent
	// mine is whether this member is the one; busy, whether inserts have trouble enough.
	mine, busy func() bool
	last       func(context.Context) (time.Time, error) // when KPIs were last kept, by whomever
	state      func(context.Context) (string, error)    // changes whenever what KPIs tell may have changed
	keep       func(context.Context, keptOne) error     // kpi.Keep
	metrics    *metrics
	log        *zap.Logger
}

type keptOne = func(kpi.Kept, error) error

// errNotMine ends a round that another member has to begin again.
var errNotMine = errors.New("another member keeps KPIs now")

// run keeps KPIs until ctx ends.
func (k *keeper) run(ctx context.Context) {
	if k.every == 0 {
		return
	}
	tick := time.NewTicker(min(k.every, keepLook))
	defer tick.Stop()
	var began time.Time // the last round; zero: ask
	var kept string     // the state that it has kept; empty: unknown
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !k.mine() {
			began, kept = time.Time{}, "" // meanwhile another one keeps them
			continue
		}
		if k.busy() || !began.IsZero() && time.Since(began) < k.every {
			continue
		}
		next, state, err := k.due(ctx, began, kept)
		if err == nil && state != "" {
			next = time.Now()
			if err = k.round(ctx); err == nil {
				kept = state
			}
		}
		began = next
		if err != nil && ctx.Err() == nil && !errors.Is(err, errNotMine) {
			k.metrics.keepFailures.Inc()
			k.log.Warn("KPIs were not all kept; they will be the next time", zap.Error(err))
		}
	}
}

// due says when the last round began, and the state of the data, if it is time for
// another one; else that is empty.
func (k *keeper) due(ctx context.Context, began time.Time, kept string) (time.Time, string, error) {
	if began.IsZero() { // a member that has just begun goes by what others did
		last, err := k.last(ctx)
		if err != nil || time.Since(last) < k.every {
			return last, "", err
		}
		began = last
	}
	state, err := k.state(ctx)
	if err != nil {
		return began, "", err
	}
	if state == kept && time.Since(began) < keepAnew {
		k.metrics.keepUnchanged.Inc()
		k.metrics.lastKeep.SetToCurrentTime()
		return began, "", nil
	}
	return began, state, nil
}

// round keeps all KPIs once. One that fails does not keep the others from it.
func (k *keeper) round(ctx context.Context) error {
	began, failed, worked := time.Now(), 0, time.Duration(0)
	var last error
	at := began
	err := k.keep(ctx, func(one kpi.Kept, err error) error {
		took := time.Since(at)
		worked += took
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			failed, last = failed+1, err
		} else {
			k.metrics.keepOne.Observe(one.Took.Seconds())
		}
		pause := time.NewTimer(restAfter(took, k.share))
		defer pause.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-pause.C:
		}
		at = time.Now()
		if !k.mine() {
			return errNotMine
		}
		return nil
	})
	if err == nil && failed > 0 {
		err = fmt.Errorf("%d KPIs failed, the last one: %w", failed, last)
	}
	if err != nil {
		return err
	}
	k.metrics.keepRound.Set(worked.Seconds())
	k.metrics.lastKeep.Set(float64(began.UnixMilli()) / 1000)
	return nil
}

// restAfter is for how long nothing is done after work, so that work is so many per cent
// of the time.
func restAfter(work time.Duration, share int) time.Duration {
	return work * time.Duration(100-share) / time.Duration(share)
}

// newKeeper keeps KPIs with the connections of the sink and the rights of its role.
func (s *Sink) newKeeper(client *kgo.Client) *keeper {
	return &keeper{
		every: s.cfg.KPI.Every, share: s.cfg.KPI.Share, metrics: s.metrics, log: s.log,
		mine: s.first.held,
		busy: func() bool { return s.writer.Retrying() > 0 },
		last: func(ctx context.Context) (time.Time, error) { return kpi.LastKept(ctx, s.conn, s.cfg.Database) },
		state: func(ctx context.Context) (string, error) {
			return s.dataState(ctx, kadm.NewClient(client))
		},
		keep: func(ctx context.Context, done keptOne) error {
			return kpi.Keep(ctx, s.conn, kpi.Keeping{Database: s.cfg.Database, Slow: kpi.Slow, Threads: 1, Memory: keepMemory, Timeout: keepTimeout, Done: done})
		},
	}
}

// dataState changes with what the group has written, with what is live, and with what
// comes into ClickHouse on other ways: counts of customers, and rates.
func (s *Sink) dataState(ctx context.Context, adm *kadm.Client) (string, error) {
	committed, err := adm.FetchOffsets(ctx, s.cfg.GroupName())
	if err == nil {
		err = committed.Error()
	}
	if err != nil {
		return "", fmt.Errorf("fetch the group's positions: %w", err)
	}
	var positions []string
	committed.Each(func(o kadm.OffsetResponse) {
		positions = append(positions, fmt.Sprint(o.Topic, " ", o.Partition, " ", o.At))
	})
	slices.Sort(positions)
	h := fnv.New128a()
	for _, position := range positions {
		_, _ = fmt.Fprintln(h, position) // a hash takes everything
	}
	var inside string
	err = s.conn.QueryRow(ctx, schema.For(s.cfg.Database, `SELECT toString((
    (SELECT generation FROM {{db}}.current_generation),
    (SELECT (name, version) FROM {{db}}.live_definition),
    (SELECT sum(count) FROM {{db}}.customers_log FINAL WHERE grain = ''),
    (SELECT max(inserted_at) FROM {{db}}.rates_log)))`)).Scan(&inside)
	if err != nil {
		return "", fmt.Errorf("ask what is live: %w", err)
	}
	return fmt.Sprintf("%x %s", h.Sum(nil), inside), nil
}
