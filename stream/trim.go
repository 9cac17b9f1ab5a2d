// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"lapwing/schemas/topics"
)

// trimInterval is how often the mailbox is trimmed. Nothing but disk space depends on it.
const trimInterval = time.Minute

// trimmer deletes from the mailbox what every generation has taken in. The mailbox is
// kept for ever by the broker, since an event must not age out before a lane that is
// down has read it; somebody has to delete, and only who knows the commits may.
//
// Each worker trims the lanes it owns, up to the least position that the worker's
// groups of all generations have committed. A generation counts as long as the cluster
// knows a group of its worker or router; one that has committed nothing yet in a
// partition holds all of it.
type trimmer struct {
	cfg    *Config
	adm    *kadm.Client
	log    *zap.Logger
	owned  func() []int32
	said   string // the last word of the log, said once
	counts trimCounts
}

type trimCounts struct {
	trimmed, failed prometheus.Counter
}

func newTrimCounts(reg prometheus.Registerer) trimCounts {
	return trimCounts{
		trimmed: register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "mailbox_trimmed_records_total",
			Help: "Records deleted from the mailbox, transaction markers included, because every generation had taken them in.",
		})),
		failed: register(reg, prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "mailbox_trim_failures_total",
			Help: "Attempts to trim the mailbox that failed; it grows until one succeeds.",
		})),
	}
}

// trim trims the lanes of this process until ctx ends.
func (w *Worker) trim(ctx context.Context) error {
	client, err := kgo.NewClient(clientOpts(&w.cfg, &w.deps, w.cfg.member("", 0)+"-trim")...)
	if err != nil {
		return fmt.Errorf("create client to trim the mailbox: %w", err)
	}
	defer client.Close()
	t := &trimmer{
		cfg: &w.cfg, adm: kadm.NewClient(client), log: w.deps.Log,
		owned:  func() []int32 { return slices.Sorted(maps.Keys(w.status.watermarks())) },
		counts: w.metrics.trims,
	}
	tick := time.NewTicker(trimInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := t.round(ctx); err != nil && ctx.Err() == nil {
			t.counts.failed.Inc()
			t.say("the mailbox could not be trimmed; it grows until it can", err)
		}
	}
}

// say logs what was not said last.
func (t *trimmer) say(message string, err error) {
	if word := message + err.Error(); word != t.said {
		t.said = word
		t.log.Warn(message, zap.String("topic", t.cfg.topic(topics.Mailbox)), zap.Error(err))
	}
}

// held says once that another generation keeps the mailbox from being trimmed.
func (t *trimmer) held(generation uint32, group string) {
	if word := "held by " + group; generation != t.cfg.Generation && word != t.said {
		t.said = word
		t.log.Info("a generation that has not committed yet holds the mailbox; if it is gone, delete its groups",
			zap.Uint32("held_by_generation", generation), zap.String("group", group))
	}
}

// round trims once.
func (t *trimmer) round(ctx context.Context) error {
	lanes := t.owned()
	if len(lanes) == 0 {
		return nil
	}
	before, err := t.generations(ctx)
	if err != nil {
		return err
	}
	done, err := t.committed(ctx, before, lanes)
	if err != nil {
		return err
	}
	// What a generation writes that even now is not there lies behind all that was
	// committed a moment ago. One that has come in between may have written before.
	after, err := t.generations(ctx)
	if err != nil || !slices.Equal(before, after) {
		return err
	}
	return t.remove(ctx, done)
}

// generations are those of which the cluster knows a group, ours always among them.
func (t *trimmer) generations(ctx context.Context) ([]uint32, error) {
	groups, err := t.adm.ListGroups(ctx)
	if err != nil { // not even in part: a group that is not listed may be behind
		return nil, fmt.Errorf("list groups: %w", err)
	}
	alive := map[uint32]bool{t.cfg.Generation: true}
	for name := range groups {
		for _, role := range []string{t.cfg.Group, t.cfg.Group + "-router"} {
			if number, ours := strings.CutPrefix(name, role+".g"); ours {
				if g, err := strconv.ParseUint(number, 10, 32); err == nil {
					alive[uint32(g)] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(alive)), nil
}

// committed is the least position per lane that the workers of all generations have
// committed; a lane is left out if one of them has committed none.
func (t *trimmer) committed(ctx context.Context, generations []uint32, lanes []int32) (map[int32]int64, error) {
	least := map[int32]int64{}
	mailbox := t.cfg.topic(topics.Mailbox)
	for i, g := range generations {
		of := *t.cfg
		of.Generation = g
		offsets, err := t.adm.FetchOffsets(ctx, of.workerGroup())
		if err == nil {
			err = offsets.Error()
		}
		if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // that one has no positions
			return nil, fmt.Errorf("fetch the positions of group %s: %w", of.workerGroup(), err)
		}
		for _, lane := range lanes {
			o, ok := offsets.Lookup(mailbox, lane)
			switch {
			case !ok || o.At < 0:
				delete(least, lane)
				t.held(g, of.workerGroup())
			case i == 0:
				least[lane] = o.At
			default:
				if at, all := least[lane]; all {
					least[lane] = min(at, o.At)
				}
			}
		}
	}
	return least, nil
}

// remove deletes what lies below the positions.
func (t *trimmer) remove(ctx context.Context, done map[int32]int64) error {
	mailbox := t.cfg.topic(topics.Mailbox)
	starts, err := t.adm.ListStartOffsets(ctx, mailbox)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return fmt.Errorf("find where the mailbox begins: %w", err)
	}
	targets := kadm.Offsets{}
	for lane, at := range done {
		if start, ok := starts.Lookup(mailbox, lane); ok && at > start.Offset {
			targets.Add(kadm.Offset{Topic: mailbox, Partition: lane, At: at, LeaderEpoch: -1})
		}
	}
	if len(targets) == 0 {
		return nil
	}
	answers, err := t.adm.DeleteRecords(ctx, targets)
	problems := []error{err}
	for _, partitions := range answers {
		for lane, a := range partitions {
			if a.Err != nil {
				problems = append(problems, fmt.Errorf("partition %d: %w", lane, a.Err))
				continue
			}
			start, _ := starts.Lookup(mailbox, lane) // there, or it were no target
			t.counts.trimmed.Add(float64(max(0, a.LowWatermark-start.Offset)))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("delete records: %w", err)
	}
	t.said = ""
	return nil
}
