// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the worker and the router of one process. Labels are lanes, causes and
// kinds: never customers.
type metrics struct {
	events      *prometheus.CounterVec // by role and result
	deadLetters *prometheus.CounterVec // by role and cause
	changes     *prometheus.CounterVec // by kind and whether published
	deadlines   prometheus.Counter
	brought     prometheus.Counter
	keptOut     prometheus.Counter
	delayed     prometheus.Counter
	exceeded    *prometheus.CounterVec // by limit
	tooLate     prometheus.Counter
	commits     *prometheus.HistogramVec // by role
	aborts      *prometheus.CounterVec   // by role and cause
	rebuilds    *prometheus.CounterVec   // by role
	restore     prometheus.Histogram
	stateBytes  *prometheus.GaugeVec // by where: cache, behind, disk
	blocked     *prometheus.GaugeVec // by topic and partition
	trims       trimCounts

	// What the reporters set.
	clock       *prometheus.GaugeVec // by lane
	customers   *prometheus.GaugeVec // by lane
	toBring     *prometheus.GaugeVec // by lane
	restoreLag  *prometheus.GaugeVec // by lane
	lagRecords  *prometheus.GaugeVec // by topic and partition
	lagSeconds  *prometheus.GaugeVec // by topic and partition
	sourceClock *prometheus.GaugeVec // by topic and partition
	stalled     *prometheus.GaugeVec // by role, topic and partition
	holds       *prometheus.GaugeVec // by topic and partition
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		events:      counterVec("events_total", "Events read, by what became of them.", "role", "result"),
		deadLetters: counterVec("dead_letters_total", "Records that could not be used, by cause.", "role", "cause"),
		changes:     counterVec("changes_total", "Changes found, by kind; backfill ones are history and not published.", "kind", "backfill"),
		deadlines: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "deadlines_total", Help: "Silent customers whose deadlines were looked at because the clock had reached them.",
		}),
		brought: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "customers_brought_over_total", Help: "Customers brought over to a definition that had followed the one they were computed by.",
		}),
		keptOut: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "kept_out_total", Help: "Assignments that were not made because the customer is in the global holdout.",
		}),
		delayed: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "assignments_delayed_total", Help: "Assignments that were not made because they came later than max_delay after their instant.",
		}),
		exceeded: counterVec("limit_exceeded_total", "What went beyond a limit of one customer or message, by limit.", "limit"),
		tooLate: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "aggregates_too_late_total", Help: "Occurrences and changes that came after their period had closed; they change no total of a closed period.",
		}),
		commits: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "commit_seconds", Help: "Time to end a transaction with a commit.",
			Buckets: []float64{.005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10},
		}, []string{"role"}),
		aborts:   counterVec("aborts_total", "Transactions that were aborted and done again, by cause.", "role", "cause"),
		rebuilds: counterVec("rebuilds_total", "Sessions that were rebuilt from the last commit after an error.", "role"),
		restore: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "restore_seconds", Help: "Time to restore one lane.",
			Buckets: []float64{.01, .05, .1, .5, 1, 5, 10, 30, 60, 300, 1800},
		}),
		stateBytes: gaugeVec("state_bytes", "Customers' states: in the cache of this process (estimated), committed but not in the local store yet, and on disk.", "slot", "where"),
		blocked:    gaugeVec("input_blocked_seconds", "How long a transaction that does not end has held up the partition; no value: none does.", "topic", "partition"),

		clock:       gaugeVec("clock_seconds", "Where the lane's clock stands, as a Unix time.", "lane"),
		customers:   gaugeVec("state_customers", "Customers that the lane holds a state of.", "lane"),
		toBring:     gaugeVec("customers_to_bring_over", "Customers that the lane has still to bring over to its definition; no value: none.", "lane"),
		restoreLag:  gaugeVec("restore_lag_records", "Records of the changelog left to read in a restore that is going on.", "lane"),
		lagRecords:  gaugeVec("lag_records", "Records of the partition not read yet, as far as its end is known.", "topic", "partition"),
		lagSeconds:  gaugeVec("lag_seconds", "While something is left to read: the time since the newest record that was read, or since nothing was left, if that is later; else 0.", "topic", "partition"),
		sourceClock: gaugeVec("source_clock_seconds", "Where the source's clock stands, as a Unix time: the least that a lane of this process has heard.", "topic", "partition"),
		stalled:     gaugeVec("source_stalled_seconds", "How long the source has stood still; no value: it goes on.", "role", "topic", "partition"),
		holds:       gaugeVec("source_holds_lanes", "Lanes of this process whose clocks the source holds back; no value: none.", "topic", "partition"),
	}
	m.events = register(reg, m.events)
	m.deadLetters = register(reg, m.deadLetters)
	m.changes = register(reg, m.changes)
	m.deadlines = register(reg, m.deadlines)
	m.brought = register(reg, m.brought)
	m.keptOut = register(reg, m.keptOut)
	m.delayed = register(reg, m.delayed)
	m.exceeded = register(reg, m.exceeded)
	m.tooLate = register(reg, m.tooLate)
	m.commits = register(reg, m.commits)
	m.aborts = register(reg, m.aborts)
	m.rebuilds = register(reg, m.rebuilds)
	m.restore = register(reg, m.restore)
	for _, vec := range []**prometheus.GaugeVec{
		&m.stateBytes, &m.blocked, &m.clock, &m.customers, &m.toBring, &m.restoreLag, &m.lagRecords, &m.lagSeconds, &m.sourceClock, &m.stalled, &m.holds,
	} {
		*vec = register(reg, *vec)
	}
	m.trims = newTrimCounts(reg)
	return m
}

const namespace = "lapwing"

func counterVec(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func gaugeVec(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

// register returns the collector that reg already has under the same description: a
// worker and a router of one process share theirs.
func register[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	err := reg.Register(c)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if existing, ok := already.ExistingCollector.(C); ok {
			return existing
		}
	}
	return c
}

func (m *metrics) setState(slot, cached, waiting int) {
	m.stateBytes.WithLabelValues(strconv.Itoa(slot), "cache").Set(float64(cached))
	m.stateBytes.WithLabelValues(strconv.Itoa(slot), "behind").Set(float64(waiting))
}

// tally is what a transaction adds to counters. It is counted once that is committed.
type tally map[prometheus.Counter]float64

func (t tally) count() {
	for c, n := range t {
		c.Add(n)
	}
	clear(t)
}
