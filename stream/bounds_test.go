// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/mailbox"
	"lapwing/stream/store"
)

// A shadow reads each record once and in order, whenever its bound rises: before or after
// what lies behind the bound was fetched, or cut off, or thrown away.
func TestBoundSkipsNothing(t *testing.T) {
	const end = 2000
	src := mailbox.Source{Topic: "events", Partition: 3}
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 4))
	for range 200 {
		b := &bounds{lanes: 12}
		l := &lane{
			id: store.Lane{Generation: 2, Lane: src.Partition}, bounds: b,
			positions: map[string]position{src.Topic: {}}, hold: map[string]*holding{},
		}
		bound, fetched, paused := int64(0), int64(0), false
		for turn := 0; l.positions[src.Topic].nextOffset < end; turn++ {
			if turn > 100*end {
				t.Fatalf("seed %d: it stands at %d and goes no further", seed, l.positions[src.Topic].nextOffset)
			}
			var polled []*kgo.Record
			for n := rng.IntN(20); n > 0 && !paused && fetched < end; n-- {
				polled = append(polled, &kgo.Record{Topic: src.Topic, Partition: src.Partition, Offset: fetched})
				fetched++
			}
			if rng.IntN(4) == 0 { // the live generation commits, at any moment
				bound = min(end, bound+rng.Int64N(30))
				b.set(&cut{positions: map[mailbox.Source]int64{src: bound}, topics: map[string]bool{src.Topic: true}, lanes: 12})
			}
			pos := l.positions[src.Topic]
			h, move := l.hold[src.Topic].next(pos.nextOffset < l.boundOf(src.Topic))
			if l.hold[src.Topic] = h; h == nil {
				delete(l.hold, src.Topic)
			}
			switch move {
			case pause:
				paused = true
			case goBack:
				paused, fetched = false, pos.nextOffset
			case noMove:
			}
			in, upTo := l.admit(src.Topic, polled)
			for _, r := range in {
				if r.Offset > pos.nextOffset {
					t.Fatalf("seed %d: position %d, admitted from %d", seed, pos.nextOffset, r.Offset)
				}
				pos.nextOffset = max(pos.nextOffset, r.Offset+1)
			}
			pos.nextOffset = max(pos.nextOffset, upTo)
			if pos.nextOffset > bound {
				t.Fatalf("seed %d: it has read to %d, beyond %d", seed, pos.nextOffset, bound)
			}
			l.positions[src.Topic] = pos
		}
	}
}
