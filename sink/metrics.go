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
	records, passed, unreadable, fetchErrors, commitErrors, batches, bytes prometheus.Counter
	rows, skipped, failures                                                *prometheus.CounterVec
	insert                                                                 *prometheus.HistogramVec
	batch, age                                                             prometheus.Histogram
	lastFlush, flightBatches, flightRows, flightBytes, factor              prometheus.Gauge
	lastError                                                              *prometheus.GaugeVec
	agreed, differing                                                      prometheus.Gauge
	compared, compareErrors                                                prometheus.Counter
	countFailures                                                          prometheus.Counter
	counting                                                               prometheus.Histogram
	lastCount                                                              prometheus.Gauge
	keepFailures, keepUnchanged                                            prometheus.Counter
	keepOne                                                                prometheus.Histogram
	keepRound, lastKeep                                                    prometheus.Gauge
}

// newMetrics registers the metrics; oldest and retrying are asked when they are read.
func newMetrics(r prometheus.Registerer, oldest, retrying func() float64) (*metrics, error) {
	const prefix = "lapwing_sink_"
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: prefix + name, Help: help})
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + name, Help: help})
	}
	histogram := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: prefix + name, Help: help, Buckets: seconds()})
	}
	m := &metrics{
		records:       counter("records_total", "Records read, without those of other generations."),
		passed:        counter("other_generation_total", "Records of another generation, passed over."),
		unreadable:    counter("unreadable_total", "Records that could not be read and are kept in the table unreadable."),
		fetchErrors:   counter("fetch_errors_total", "Failed fetches from Kafka, repeated by themselves."),
		commitErrors:  counter("commit_errors_total", "Offsets that could not be committed; the rows may be written again."),
		batches:       counter("batches_total", "Batches written and committed."),
		bytes:         counter("bytes_total", "Bytes of the records of those batches."),
		rows:          vec("rows_total", "Rows inserted, repeats included.", "table"),
		skipped:       vec("refused_rows_total", "Rows that ClickHouse refused and that are kept in the table unreadable.", "table"),
		failures:      vec("insert_failures_total", "Failed attempts to insert, by what follows and ClickHouse's code (0: no answer).", "table", "class", "code"),
		insert:        prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: prefix + "insert_seconds", Help: "Time of a successful insert.", Buckets: seconds()}, []string{"table"}),
		batch:         histogram("batch_seconds", "Time from a full batch to its committed offsets."),
		age:           histogram("batch_age_seconds", "Time from a batch's first record to its committed offsets."),
		lastFlush:     gauge("last_commit_timestamp_seconds", "Wall clock of the last batch written and committed."),
		flightBatches: gauge("in_flight_batches", "Batches on their way into ClickHouse."),
		flightRows:    gauge("in_flight_rows", "Rows of the batches on their way."),
		flightBytes:   gauge("in_flight_bytes", "Bytes of the records of the batches on their way."),
		factor:        gauge("batch_factor", "How many times larger than usual batches are, because ClickHouse had too many parts; 1: as usual."),
		lastError:     prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: prefix + "last_error_timestamp_seconds", Help: "Wall clock of the last failed attempt to insert, by what follows and ClickHouse's code (0: no answer)."}, []string{"class", "code"}),
		countFailures: counter("count_failures_total", "Times that distinct customers of a lane could not be counted."),
		counting:      histogram("count_seconds", "Time to count the distinct customers of a lane anew."),
		lastCount:     gauge("last_count_timestamp_seconds", "Wall clock at which distinct customers were last counted anew."),
	}
	m.agreed = gauge("reconcile_agreed_timestamp_seconds", "Wall clock of the last comparison in which ClickHouse had what the log has; 0: none by this process.")
	m.differing = gauge("reconcile_differing_rows", "Rows that differed in the last comparison of ClickHouse with the log.")
	m.compared = counter("reconcile_rows_total", "Rows of the log that were compared with ClickHouse.")
	m.compareErrors = counter("reconcile_failures_total", "Comparisons that did not come to an end.")
	m.keepFailures = counter("keep_failures_total", "Times that not all KPIs could be kept.")
	m.keepUnchanged = counter("keep_unchanged_total", "Times that KPIs were due and not kept anew, because nothing had changed.")
	m.keepOne = histogram("keep_seconds", "Time to compute a KPI to be kept, on one core.")
	m.keepRound = gauge("keep_round_seconds", "Time that the last keeping of all KPIs was at work, without its pauses.")
	m.lastKeep = gauge("last_keep_timestamp_seconds", "Wall clock at which the last complete keeping of all KPIs began, or when it was last found that nothing had changed since; 0: none by this process.")
	m.factor.Set(1)
	for _, c := range []prometheus.Collector{
		m.records, m.passed, m.unreadable, m.fetchErrors, m.commitErrors, m.batches, m.bytes, m.rows, m.skipped, m.failures, m.insert, m.batch, m.age,
		m.lastFlush, m.flightBatches, m.flightRows, m.flightBytes, m.factor, m.lastError,
		m.agreed, m.differing, m.compared, m.compareErrors, m.countFailures, m.counting, m.lastCount,
		m.keepFailures, m.keepUnchanged, m.keepOne, m.keepRound, m.lastKeep,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: prefix + "oldest_seconds", Help: "How long the oldest record that was read and is not committed has waited; 0 if there is none."}, oldest),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: prefix + "retrying_inserts", Help: "Inserts whose last attempt failed and that are tried again."}, retrying),
	} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of the sink: %w", err)
		}
	}
	return m, nil
}

func seconds() []float64 { return prometheus.ExponentialBuckets(0.005, 2, 14) } // 5 ms to 41 s

// tooManyParts is ClickHouse's code for merges that do not keep up with inserts.
const tooManyParts = 252

func (s *Sink) hooks() writer.Hooks {
	m := s.metrics
	return writer.Hooks{
		Inserted: func(t batch.Table, rows int, took time.Duration) {
			m.rows.WithLabelValues(t.Name()).Add(float64(rows))
			m.insert.WithLabelValues(t.Name()).Observe(took.Seconds())
		},
		Failed: func(t batch.Table, class writer.Class, code int32) {
			text := strconv.Itoa(int(code))
			m.failures.WithLabelValues(t.Name(), class.String(), text).Inc()
			m.lastError.WithLabelValues(class.String(), text).SetToCurrentTime()
			if code == tooManyParts {
				s.pace.tooManyParts(time.Now(), m)
			}
			s.flight.failed()
		},
		Skipped: func(t batch.Table, rows int) { m.skipped.WithLabelValues(t.Name()).Add(float64(rows)) },
	}
}
