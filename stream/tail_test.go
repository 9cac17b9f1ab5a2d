// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/topics"
)

// A log whose last records are of a transaction that is still open is read to its end
// once that transaction is over, also if it is aborted: its marker lies behind the end.
func TestReadToEndBehindATransactionThatIsAborted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), nil)
		topic := w.cfg.topic(topics.State)
		key := []byte("c\x00\x00\x00\x01ana")
		manual := kgo.RecordPartitioner(kgo.ManualPartitioner())
		if err := w.client(manual).ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: key, Value: []byte("committed")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		open := w.client(manual, kgo.TransactionalID("a worker that was thrown out"))
		if err := open.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := open.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: key, Value: []byte("aborted")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		deps := w.deps(&plug{w: w})
		deps.fill()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var read []string
		ended := make(chan error, 1)
		go func() {
			ended <- readToEnd(ctx, &w.cfg, &deps, topic, map[int32]int64{0: 0}, func(r *kgo.Record) error {
				read = append(read, string(r.Value))
				return nil
			})
		}()
		time.Sleep(5 * time.Second) // of virtual time: it knows the end, and waits for it
		select {
		case err := <-ended:
			t.Fatalf("it did not wait for the open transaction: %v", err)
		default:
		}
		if err := open.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if len(read) != 1 || read[0] != "committed" {
			t.Errorf("read %q, want what was committed", read)
		}
	})
}
