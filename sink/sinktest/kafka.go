// SPDX-License-Identifier: Apache-2.0

package sinktest

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/topics"
	"lapwing/sink/batch"
)

// NewBroker is a broker of its own with all topics of the sink.
func NewBroker(t testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for _, topic := range topics.All() {
		if !slices.Contains(batch.Topics(), topic.Name) {
			continue
		}
		var config map[string]string
		if topic.Compact {
			config = map[string]string{"cleanup.policy": "compact"}
		}
		if err := c.CreateTopic(Prefix+topic.Name, Lanes, config); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// Produce writes the records in transactions of a few hundred, as the stream does, and
// before each one that is aborted. The log gives them other offsets than their own.
func Produce(t testing.TB, brokers []string, records []batch.Record) {
	t.Helper()
	ctx := context.Background()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.TransactionalID("stream"), kgo.TransactionTimeout(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for len(records) > 0 {
		n := min(len(records), 300)
		for _, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
			if err := client.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			for i := range records[:n] {
				r := &records[i]
				if end == kgo.TryAbort && i > 20 {
					break
				}
				client.Produce(ctx, &kgo.Record{
					Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value,
					Headers: []kgo.RecordHeader{{Key: batch.GenerationHeader, Value: []byte(strconv.Itoa(int(r.Generation)))}},
				}, func(_ *kgo.Record, err error) {
					if err != nil {
						t.Errorf("produce: %v", err)
					}
				})
			}
			if err := client.Flush(ctx); err != nil {
				t.Fatal(err)
			}
			if err := client.EndTransaction(ctx, end); err != nil {
				t.Fatal(err)
			}
		}
		records = records[n:]
	}
}
