// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"

	"lapwing/sink/kpi"
)

// keeping is a keeper over a base of which each KPI takes ten seconds, and what it did.
type keeping struct {
	*keeper
	mu      sync.Mutex // over what follows, which the test changes while the keeper runs
	data    string     // what dataState says
	others  time.Time  // when another member has kept KPIs
	mine    bool
	busy    bool
	failing int // which KPI of a round fails, from 1
	each    []time.Time
}

const kpisOfRound, tookEach = 3, 10 * time.Second

// set changes what the keeper finds.
func (k *keeping) set(change func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change()
}

// begun are the instants at which a KPI began to be computed.
func (k *keeping) begun() (each []time.Time) {
	k.set(func() { each = slices.Clone(k.each) })
	return each
}

func newKeeping(t *testing.T) *keeping {
	t.Helper()
	none := func() float64 { return 0 }
	m, err := newMetrics(prometheus.NewRegistry(), none, none)
	if err != nil {
		t.Fatal(err)
	}
	k := &keeping{mine: true, data: "a"}
	k.keeper = &keeper{
		every: 15 * time.Minute, share: 10, metrics: m, log: zap.NewNop(),
		mine: func() (yes bool) { k.set(func() { yes = k.mine }); return yes }, busy: func() (yes bool) { k.set(func() { yes = k.busy }); return yes },
		last:  func(context.Context) (at time.Time, err error) { k.set(func() { at = k.others }); return at, nil },
		state: func(context.Context) (data string, err error) { k.set(func() { data = k.data }); return data, nil },
		keep: func(_ context.Context, done keptOne) error {
			for i := range kpisOfRound {
				k.set(func() { k.each = append(k.each, time.Now()) })
				time.Sleep(tookEach)
				var err error
				k.set(func() {
					if i+1 == k.failing {
						err = errors.New("too much memory")
					}
				})
				if err := done(kpi.Kept{Took: tookEach}, err); err != nil {
					return err
				}
			}
			return nil
		},
	}
	return k
}

// TestKeepsWhenSomethingChanged: KPIs are kept at the pace that is set and in their share
// of the time; not if nothing has changed since, but well before what is kept counts no
// more; by no member that is not the one, and not while inserts have trouble.
func TestKeepsWhenSomethingChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeping(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { k.run(ctx); close(ended) }()
		computed := func(after time.Duration, want int, why string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if len(k.begun()) != want {
				t.Errorf("%s: %d KPIs computed so far, want %d", why, len(k.begun()), want)
			}
		}
		k.set(func() { k.mine = false })
		computed(time.Hour, 0, "another member is the one")
		k.set(func() { k.mine, k.others = true, time.Now().Add(-5*time.Minute) })
		computed(9*time.Minute, 0, "another member has kept them five minutes ago")
		computed(10*time.Minute, kpisOfRound, "fifteen minutes are over")
		for i := 1; i < len(k.begun()); i++ {
			if gap := k.begun()[i].Sub(k.begun()[i-1]); gap != 10*tookEach {
				t.Errorf("one KPI begins %v after another, want %v: a tenth of the time is work", gap, 10*tookEach)
			}
		}
		computed(6*time.Hour, kpisOfRound, "nothing has changed")
		if testutil.ToFloat64(k.metrics.keepUnchanged) == 0 || testutil.ToFloat64(k.metrics.keepRound) != (kpisOfRound*tookEach).Seconds() {
			t.Error("the metrics do not say so")
		}
		k.set(func() { k.busy, k.data = true, "b" })
		computed(time.Hour, kpisOfRound, "inserts have trouble")
		k.set(func() { k.busy = false })
		computed(6*time.Minute, 2*kpisOfRound, "something has changed")
		k.set(func() { k.data = "c" })
		computed(4*time.Minute, 2*kpisOfRound, "it is not yet time again")
		computed(20*time.Minute, 3*kpisOfRound, "it is time again")
		computed(12*time.Hour, 4*kpisOfRound, "what is kept grows old")
		cancel()
		<-ended
	})
}

// TestKeepsWhatItCan: a KPI that fails does not keep the others from it, and is tried
// again with the next round; a member that is the one no more ends in the midst of it.
func TestKeepsWhatItCan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeping(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { k.run(ctx); close(ended) }()
		k.set(func() { k.failing = 1 })
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if failed := testutil.ToFloat64(k.metrics.keepFailures); failed != 1 || len(k.begun()) != kpisOfRound || testutil.ToFloat64(k.metrics.lastKeep) != 0 {
			t.Errorf("%d KPIs computed, %v failures counted", len(k.begun()), failed)
		}
		k.set(func() { k.failing = 0 })
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		if len(k.begun()) != 2*kpisOfRound || testutil.ToFloat64(k.metrics.lastKeep) == 0 {
			t.Errorf("%d KPIs computed, want the round to be repeated", len(k.begun()))
		}
		k.set(func() { k.data = "b" })
		for len(k.begun()) == 2*kpisOfRound {
			time.Sleep(time.Second)
			synctest.Wait()
		}
		k.set(func() { k.mine = false })
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(k.begun()) != 2*kpisOfRound+1 {
			t.Errorf("%d KPIs computed, want the round to have ended with the first", len(k.begun()))
		}
		cancel()
		<-ended
	})
}
