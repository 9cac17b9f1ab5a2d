// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// A batch waits for the one before it, whose offsets are committed first; not for one of
// a former tenure, which commits nothing any more.
func TestBatchesWaitWithinTheirTenure(t *testing.T) {
	none := func() float64 { return 0 }
	m, err := newMetrics(prometheus.NewRegistry(), none, none)
	if err != nil {
		t.Fatal(err)
	}
	f := newFlight(m)
	former, present := newTenure(t.Context()), newTenure(t.Context())
	lingering, first, second := &sent{tenure: former}, &sent{tenure: present}, &sent{tenure: present}
	for _, x := range []*sent{lingering, first, second} {
		f.add(x)
	}
	if lingering.prev != nil || first.prev != nil {
		t.Errorf("the first of a tenure waits: %v, %v", lingering.prev, first.prev)
	}
	if second.prev != first {
		t.Errorf("the second waits for %p, want the first, %p", second.prev, first)
	}
}
