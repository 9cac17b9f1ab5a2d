// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"lapwing/schemas/instant"
)

// metrics of the worker and the router of one process. Labels are lanes, causes and
// kinds: never customers.
type metrics struct {
	events      *prometheus.CounterVec // by role and result
	deadLetters *prometheus.CounterVec // by role and cause
	changes     *prometheus.CounterVec // by kind and whether published
	deadlines   prometheus.Counter
	tooLate     prometheus.Counter
	commits     *prometheus.HistogramVec // by role
	aborts      *prometheus.CounterVec   // by role
	rebuilds    *prometheus.CounterVec   // by role
	restore     prometheus.Histogram
	watermark   *prometheus.GaugeVec // by lane
	lag         *prometheus.GaugeVec // by topic and partition
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		events:      counterVec("events_total", "Events read, by what became of them.", "role", "result"),
		deadLetters: counterVec("dead_letters_total", "Records that could not be used, by cause.", "role", "cause"),
		changes:     counterVec("changes_total", "Changes found, by kind; backfill ones are history and not published.", "kind", "backfill"),
		deadlines: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "deadlines_total", Help: "Silent customers whose deadlines were looked at because the clock had reached them.",
		}),
		tooLate: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "aggregates_too_late_total", Help: "Occurrences and changes that came after their period had closed; they are in no total.",
		}),
		commits: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "commit_seconds", Help: "Time to end a transaction with a commit.",
			Buckets: []float64{.005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10},
		}, []string{"role"}),
		aborts:   counterVec("aborts_total", "Transactions that were aborted and done again.", "role"),
		rebuilds: counterVec("rebuilds_total", "Sessions that were rebuilt from the last commit after an error.", "role"),
		restore: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "restore_seconds", Help: "Time to restore the lanes of one assignment.",
			Buckets: []float64{.01, .05, .1, .5, 1, 5, 10, 30, 60, 300, 1800},
		}),
		watermark: gaugeVec("watermark_seconds", "Where the lane's clock stands, as a Unix time.", "lane"),
		lag:       gaugeVec("lag_records", "Records of the partition not read yet, as of the last fetch from it.", "topic", "partition"),
	}
	m.events = register(reg, m.events)
	m.deadLetters = register(reg, m.deadLetters)
	m.changes = register(reg, m.changes)
	m.deadlines = register(reg, m.deadlines)
	m.tooLate = register(reg, m.tooLate)
	m.commits = register(reg, m.commits)
	m.aborts = register(reg, m.aborts)
	m.rebuilds = register(reg, m.rebuilds)
	m.restore = register(reg, m.restore)
	m.watermark = register(reg, m.watermark)
	m.lag = register(reg, m.lag)
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

func (m *metrics) setWatermark(lane int32, at instant.Instant) {
	if at != instant.None {
		m.watermark.WithLabelValues(strconv.Itoa(int(lane))).Set(float64(at) / 1000)
	}
}

func (m *metrics) setLag(topic string, partition int32, records int64) {
	m.lag.WithLabelValues(topic, strconv.Itoa(int(partition))).Set(float64(max(0, records)))
}
