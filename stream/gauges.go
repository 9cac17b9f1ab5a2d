// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// gauges are the values of one metric that one reporter keeps: what is not set anew in
// a round is deleted, so that nothing is told of a lane or partition that has moved on.
type gauges struct {
	vec  *prometheus.GaugeVec
	with []string // further labels, in front of those that are set
	last map[string][]string
	now  map[string][]string
}

func newGauges(vec *prometheus.GaugeVec, with ...string) *gauges {
	return &gauges{vec: vec, with: with, now: map[string][]string{}}
}

// set gives a series its value for this round.
func (g *gauges) set(value float64, labels ...string) {
	labels = append(g.with[:len(g.with):len(g.with)], labels...)
	g.vec.WithLabelValues(labels...).Set(value)
	g.now[strings.Join(labels, "\x00")] = labels
}

// round ends a round.
func (g *gauges) round() {
	for key, labels := range g.last {
		if _, still := g.now[key]; !still {
			g.vec.DeleteLabelValues(labels...)
		}
	}
	g.last, g.now = g.now, map[string][]string{}
}
