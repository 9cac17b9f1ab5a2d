// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lapwing/schemas/topics"
)

// A worker that is started while a topic's leader is being elected waits for it: it does
// not die of an error that passes by itself.
func TestStartDuringAnElection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), nil)
		fault := w.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: w.cfg.topic(topics.Definitions), Err: kerr.LeaderNotAvailable, Count: -1})
		r := w.start(w.cfg)
		time.Sleep(20 * time.Second)
		t.Logf("hits %d", fault.Hits())
		fault.Remove()
		w.produce("events", bought("ana", "o1", day0))
		w.end(day0)
		w.wait(r, day0)
		r.stop(t)
	})
}
