// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lapwing/sink/batch"
	"lapwing/sink/writer"
)

// metrics of one sink.
type metrics struct {
	records, passed, unreadable, fetchErrors, commitErrors prometheus.Counter
	rows, skipped, failures                                *prometheus.CounterVec
	insert                                                 *prometheus.HistogramVec
	batch                                                  prometheus.Histogram
	lastFlush                                              prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "lapwing_sink_" + name, Help: help})
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "lapwing_sink_" + name, Help: help}, labels)
	}
	seconds := prometheus.ExponentialBuckets(0.005, 2, 14) // 5 ms to 41 s
	m := &metrics{
		records:      counter("records_total", "Records read, without those of other generations."),
		passed:       counter("other_generation_total", "Records of another generation, passed over."),
		unreadable:   counter("unreadable_total", "Records that could not be read and are kept in the table unreadable."),
		fetchErrors:  counter("fetch_errors_total", "Failed fetches from Kafka, repeated by themselves."),
		commitErrors: counter("commit_errors_total", "Offsets that could not be committed; the rows may be written again."),
		rows:         vec("rows_total", "Rows inserted, repeats included.", "table"),
		skipped:      vec("refused_rows_total", "Rows that ClickHouse refused and that are kept in the table unreadable.", "table"),
		failures:     vec("insert_failures_total", "Failed attempts to insert, by what follows and ClickHouse's code (0: no answer).", "table", "class", "code"),
		insert:       prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "lapwing_sink_insert_seconds", Help: "Time of a successful insert.", Buckets: seconds}, []string{"table"}),
		batch:        prometheus.NewHistogram(prometheus.HistogramOpts{Name: "lapwing_sink_batch_seconds", Help: "Time from a full batch to its committed offsets.", Buckets: seconds}),
		lastFlush:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "lapwing_sink_last_commit_timestamp_seconds", Help: "Wall clock of the last batch written and committed."}),
	}
	for _, c := range []prometheus.Collector{
		m.records, m.passed, m.unreadable, m.fetchErrors, m.commitErrors, m.rows, m.skipped, m.failures, m.insert, m.batch, m.lastFlush,
	} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of the sink: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) hooks() writer.Hooks {
	return writer.Hooks{
		Inserted: func(t batch.Table, rows int, took time.Duration) {
			m.rows.WithLabelValues(t.Name()).Add(float64(rows))
			m.insert.WithLabelValues(t.Name()).Observe(took.Seconds())
		},
		Failed: func(t batch.Table, class writer.Class, code int32) {
			m.failures.WithLabelValues(t.Name(), class.String(), strconv.Itoa(int(code))).Inc()
		},
		Skipped: func(t batch.Table, rows int) { m.skipped.WithLabelValues(t.Name()).Add(float64(rows)) },
	}
}
