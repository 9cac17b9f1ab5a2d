// SPDX-License-Identifier: Apache-2.0

//go:build linux

package stream

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"lapwing/schemas/topics"
)

// watch follows, per lane, how far readers may read and how far the log goes: what is
// between is held back by an open transaction.
type watch struct {
	mu    sync.Mutex
	lanes map[laneTopic]*laneWatch
}

type laneTopic struct {
	topic string
	lane  int32
}

type laneWatch struct {
	stable  int64     // the end, as a read_committed reader sees it
	held    time.Time // since when records wait behind it; zero: none do
	stall   time.Duration
	commits []time.Time // of each step of stable
}

// watch begins; it ends with the test.
func (w *realWorld) watch() *watch {
	w.t.Helper()
	o := &watch{lanes: map[laneTopic]*laneWatch{}}
	adm := kadm.NewClient(w.client())
	names := []string{w.cfg.topic(topics.State), w.cfg.topic(topics.StageChanges)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{}) // closed by the watcher
	go func() {
		defer close(ended)
		tick := time.NewTicker(25 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			// The log's end first: a record that is committed in between is no stall.
			ends, err := adm.ListEndOffsets(ctx, names...)
			if err == nil {
				var stable kadm.ListedOffsets
				if stable, err = adm.ListCommittedOffsets(ctx, names...); err == nil {
					o.look(ends, stable, time.Now())
				}
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}()
	w.t.Cleanup(func() { cancel(); <-ended })
	return o
}

func (o *watch) look(ends, stable kadm.ListedOffsets, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	stable.Each(func(s kadm.ListedOffset) {
		end, ok := ends.Lookup(s.Topic, s.Partition)
		if !ok || end.Err != nil || s.Err != nil {
			return
		}
		id := laneTopic{s.Topic, s.Partition}
		l := o.lanes[id]
		if l == nil {
			l = &laneWatch{stable: s.Offset}
			o.lanes[id] = l
		}
		if s.Offset != l.stable {
			l.stable, l.held = s.Offset, time.Time{}
			l.commits = append(l.commits, now)
		}
		switch {
		case end.Offset <= s.Offset:
			l.held = time.Time{}
		case l.held.IsZero():
			l.held = now
		default:
			l.stall = max(l.stall, now.Sub(l.held))
		}
	})
}

// stall is the longest for which any reader was held back.
func (o *watch) stall() (longest time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, l := range o.lanes {
		longest = max(longest, l.stall)
	}
	return longest
}

// gap is the longest time between two commits of a lane that touches from to to.
func (o *watch) gap(topic string, lane int32, from, to time.Time) (longest time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.lanes[laneTopic{topic, lane}]
	if l == nil {
		return to.Sub(from)
	}
	last := from
	for _, at := range l.commits {
		if at.Before(from) {
			continue
		}
		if at.After(to) {
			break
		}
		longest, last = max(longest, at.Sub(last)), at
	}
	return max(longest, to.Sub(last))
}

// cpu is the processor time a process has used.
func (c *child) cpu() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The name stands in brackets and may hold anything; utime and stime are the 14th
	// and 15th of all fields, in hundredths of a second.
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	total := 0
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return time.Duration(total) * 10 * time.Millisecond, nil
}
