// SPDX-License-Identifier: Apache-2.0

package sink_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap/zapcore"
)

// eventually polls for what a process outside of this one brings about.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v until %s", patience, what)
		}
	}
}

// sum is a metric, all labels together.
func sum(t *testing.T, r *prometheus.Registry, name string) float64 {
	t.Helper()
	return labelled(t, r, name, "", "")
}

// labelled is a metric, all that have the label together.
func labelled(t *testing.T, r *prometheus.Registry, name, label, value string) (total float64) {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			has := label == ""
			for _, l := range m.GetLabel() {
				has = has || l.GetName() == label && l.GetValue() == value
			}
			if has {
				total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return total
}

// hook sends the message of each warning of the sink itself.
func hook(warned chan<- string) func(zapcore.Entry) error {
	return func(e zapcore.Entry) error {
		if e.LoggerName == "sink" {
			warned <- e.Message
		}
		return nil
	}
}
