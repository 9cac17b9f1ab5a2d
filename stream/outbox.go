// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/mailbox"
)

// generationHeader is in every record Lapwing writes.
const generationHeader = "generation"

// outbox produces what one transaction writes. The first record that fails spoils
// the transaction: the client's End would commit without it. Values live in an arena
// that is used again once all records have been answered. Owned by one goroutine;
// done is called by the client's.
type outbox struct {
	client     *kgo.Client
	generation []kgo.RecordHeader // shared by all records that have no other header
	stateTopic string

	arena   []byte
	slab    []*[slabSize]kgo.Record
	used    int
	headers []kgo.RecordHeader

	flight sync.WaitGroup
	mu     sync.Mutex
	err    error
	// stateNext is, per lane, the offset behind the last changelog record acknowledged,
	// stateFirst that of the first.
	stateNext, stateFirst map[int32]int64
}

const slabSize = 1024

func newOutbox(client *kgo.Client, cfg *Config, stateTopic string) *outbox {
	return &outbox{
		client:     client,
		generation: []kgo.RecordHeader{{Key: generationHeader, Value: strconv.AppendUint(nil, uint64(cfg.Generation), 10)}},
		stateTopic: stateTopic,
		stateNext:  map[int32]int64{},
		stateFirst: map[int32]int64{},
	}
}

// reset begins a transaction. The one before must have been settled.
func (o *outbox) reset() {
	o.arena, o.used, o.headers, o.err = o.arena[:0], 0, o.headers[:0], nil
	clear(o.stateNext)
	clear(o.stateFirst)
}

// bytes appends what build appends to the arena and returns that part of it. When
// the arena grows, earlier parts stay where they are.
func (o *outbox) bytes(build func(dst []byte) []byte) []byte {
	start := len(o.arena)
	o.arena = build(o.arena)
	return o.arena[start:len(o.arena):len(o.arena)]
}

func (o *outbox) keep(b []byte) []byte {
	return o.bytes(func(dst []byte) []byte { return append(dst, b...) })
}

func (o *outbox) keepText(s string) []byte {
	return o.bytes(func(dst []byte) []byte { return append(dst, s...) })
}

// header takes room for the headers of one record, with the generation as the first.
func (o *outbox) header(more ...kgo.RecordHeader) []kgo.RecordHeader {
	start := len(o.headers)
	o.headers = append(append(o.headers, o.generation...), more...)
	return o.headers[start:len(o.headers):len(o.headers)]
}

// produce sends one record. key, value and headers must stay as they are until the
// transaction has been settled.
func (o *outbox) produce(topic string, partition int32, key, value []byte, headers []kgo.RecordHeader) {
	if o.used == len(o.slab)*slabSize {
		o.slab = append(o.slab, new([slabSize]kgo.Record))
	}
	r := &o.slab[o.used/slabSize][o.used%slabSize]
	o.used++
	if headers == nil {
		headers = o.generation
	}
	*r = kgo.Record{Topic: topic, Partition: partition, Key: key, Value: value, Headers: headers}
	o.flight.Add(1)
	// Not cancelled by whoever stops the worker: a transaction is ended, not torn.
	o.client.Produce(context.Background(), r, o.done)
}

func (o *outbox) done(r *kgo.Record, err error) {
	if err != nil || r.Topic == o.stateTopic {
		o.mu.Lock()
		if err != nil && o.err == nil {
			o.err = fmt.Errorf("topic %s: %w", r.Topic, err)
		}
		if err == nil {
			o.stateNext[r.Partition] = max(o.stateNext[r.Partition], r.Offset+1)
			if first, ok := o.stateFirst[r.Partition]; !ok || r.Offset < first {
				o.stateFirst[r.Partition] = r.Offset
			}
		}
		o.mu.Unlock()
	}
	o.flight.Done()
}

// settle waits until every record was answered and returns the first error.
func (o *outbox) settle() error {
	if err := o.client.Flush(context.Background()); err != nil {
		return err
	}
	o.flight.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// appended checks, once settled, that a transaction's changelog records stand behind all
// that the lanes know to be there. If not, the topic was made anew or lost its end under
// way, which a client that had not written to it before does not notice: committed, they
// would be all that a restore finds.
func (o *outbox) appended(lanes map[int32]*lane) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for p, l := range lanes {
		if at, ok := o.stateFirst[p]; ok && at < l.behind.nextOffset {
			return fmt.Errorf("topic %s partition %d: a record was given offset %d, though there were records up to %d: %w: "+
				"restore the topic from a backup, or run another generation, which computes from the beginning",
				o.stateTopic, p, at, l.behind.nextOffset, ErrTruncated)
		}
	}
	return nil
}

// forward produces an event to the mailbox of the customer's home. Nothing is kept of
// the arguments.
func (o *outbox) forward(mailboxTopic string, home int32, customer []byte, e *mailbox.Envelope, value []byte) {
	o.produce(mailboxTopic, home, o.keep(customer), o.keep(value), o.envelope(e))
}

// tell produces the clock of a source to one mailbox.
func (o *outbox) tell(mailboxTopic string, lane int32, e *mailbox.Envelope) {
	o.produce(mailboxTopic, lane, nil, []byte{}, o.envelope(e))
}

func (o *outbox) envelope(e *mailbox.Envelope) []kgo.RecordHeader {
	return o.header(kgo.RecordHeader{Key: mailbox.Header, Value: o.bytes(e.Append)})
}
