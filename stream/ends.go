// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/schemas/topics"
)

// EndSources tells every lane that all inputs end at at, behind what they hold now:
// once a lane has taken that in, its clock goes to at. It is for replays, where no
// later event will move the clocks. Events produced before must have been
// acknowledged. The client is used for its options alone; it must be neither
// transactional nor a member of a group.
func EndSources(ctx context.Context, client *kgo.Client, cfg Config, at instant.Instant) error {
	inputs := append(cfg.keyed(), cfg.routed()...)
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, inputs...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("find where the inputs end: %w", err)
	}
	partitions := map[string]int32{}
	for _, topic := range cfg.routed() {
		partitions[topic] = int32(len(ends[topic]))
	}
	// A client of our own: the caller's may partition as it likes.
	producer, err := kgo.NewClient(append(client.Opts(), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		return fmt.Errorf("create client: %w", err)
	}
	defer producer.Close()
	out := newOutbox(producer, &cfg, "")
	for lane := range cfg.Lanes {
		for _, src := range cfg.sources(lane, partitions) {
			end, ok := ends.Lookup(src.Topic, src.Partition)
			if !ok {
				return fmt.Errorf("find where partition %d of %s ends: the broker did not say", src.Partition, src.Topic)
			}
			out.tell(cfg.topic(topics.Mailbox), lane, &mailbox.Envelope{
				Kind: mailbox.Clock, Source: src, Position: end.Offset, At: at, Ended: true,
			})
		}
	}
	if err := out.settle(); err != nil {
		return fmt.Errorf("tell the lanes: %w", err)
	}
	return nil
}
