// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"lapwing/schemas/instant"
	"lapwing/stream/oracle"
)

// equal is the invariant of every fault: the committed stage changes, segment changes,
// assignments, conversions and profiles are those of the fold and of the oracle, per customer in order, none
// missing, none twice, and the totals are right. The oracle shares no evaluation with
// the fold: both would have to be wrong alike.
func (w *world) equal(messages []message, until instant.Instant) {
	w.t.Helper()
	w.same(messages, until)
	w.sameTotals(messages, until)
	w.judged(messages, until)
}

// judged compares the committed changes with the oracle's.
func (w *world) judged(messages []message, until instant.Instant) {
	w.t.Helper()
	w.judge(messages, until).compare(w.t, " by the oracle", w.changes)
}

// judge is what the oracle makes of the messages.
func (w *world) judge(messages []message, until instant.Instant) judgement {
	w.t.Helper()
	o, err := oracle.New(w.def)
	if err != nil {
		w.t.Fatal(err)
	}
	customers := map[string][]oracle.Message{}
	for _, m := range messages {
		if decoded, ok := oracle.Decode(m.bytes()); ok {
			customers[decoded.Customer] = append(customers[decoded.Customer], decoded)
		}
	}
	j := newJudgement()
	for id, ms := range customers {
		for _, r := range o.Customer(id, ms, until).Records {
			j.add(&r, describe(&r))
		}
	}
	return j
}

// story is history with an end behind the last message: only the end of the inputs
// brings a lane's clock there, when all of them were read.
func story(t testing.TB, nth int) (messages []message, last instant.Instant) {
	t.Helper()
	messages, last = history(t, nth)
	return messages, last.Add(time.Millisecond)
}

// small makes transactions of a few records, so that a history of a few hundred has
// many of them.
func small(c *Config) { c.MaxPollRecords, c.MaxTransactionRecords = 40, 80 }

// alone is small with one member: what befalls it befalls all lanes.
func alone(c *Config) {
	small(c)
	c.Slots = 1
}

// protocols are the transaction protocols: before KIP-890, with the producer's epoch
// the same over many transactions, and since.
func protocols() map[string][]kgo.Opt {
	return map[string][]kgo.Opt{
		"older protocol": {kgo.MaxVersions(kversion.V3_6_0())},
		"protocol 2":     nil,
	}
}

// startWith starts a worker whose clients have more options.
func (w *world) startWith(cfg Config, opts ...kgo.Opt) *running {
	w.t.Helper()
	p := &plug{w: w}
	deps := w.deps(p)
	deps.KafkaOpts = append(deps.KafkaOpts, opts...)
	worker, err := NewWorker(cfg, w.def, deps)
	if err != nil {
		w.t.Fatal(err)
	}
	r := w.run(p, worker.Run)
	r.Worker = worker
	return r
}

// ended waits until the worker ends by itself, and is its error.
func (r *running) ended(t *testing.T, within time.Duration) error {
	t.Helper()
	select {
	case err := <-r.done:
		return err
	case <-time.After(within):
		t.Fatalf("the worker has not ended within %s", within)
		return nil
	}
}

// committed is what the worker's group has committed, by topic and partition.
func (w *world) committed() map[string]map[int32]int64 {
	w.t.Helper()
	return w.committedBy(w.cfg.workerGroup())
}

func (w *world) committedBy(group string) map[string]map[int32]int64 {
	w.t.Helper()
	client := w.client()
	defer client.Close()
	rs, err := kadm.NewClient(client).FetchOffsets(w.t.Context(), group)
	if err != nil {
		w.t.Fatal(err)
	}
	at := map[string]map[int32]int64{}
	for topic, ps := range rs {
		at[topic] = map[int32]int64{}
		for p, o := range ps {
			at[topic][p] = o.At
		}
	}
	return at
}

func sameOffsets(a, b map[string]map[int32]int64) bool {
	return maps.EqualFunc(a, b, maps.Equal[map[int32]int64, map[int32]int64])
}

// lossy loses the answers to some requests of the workers: the broker carries the
// request out, and the connection breaks before the answer is read.
type lossy struct {
	mu   sync.Mutex
	key  kmsg.Key
	left int
	lost int
}

// lossy puts one between the world's workers and its broker.
func (w *world) lossy() *lossy {
	l := new(lossy)
	dial := w.dial
	w.dial = func(ctx context.Context, network, host string) (net.Conn, error) {
		c, err := dial(ctx, network, host)
		if err != nil {
			return nil, err
		}
		return &lossyConn{Conn: c, lossy: l, of: []byte(w.cfg.Group)}, nil
	}
	return l
}

// lose loses the answers to the next n requests of the kind.
func (l *lossy) lose(key kmsg.Key, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.key, l.left = key, n
}

func (l *lossy) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

type lossyConn struct {
	net.Conn
	*lossy
	of   []byte // what the ids of the workers' clients begin with
	deaf atomic.Bool
}

// Write looks at the request's header: size, key, version, correlation id, client id.
func (c *lossyConn) Write(b []byte) (int, error) {
	if len(b) > 14 && bytes.HasPrefix(b[14:], c.of) {
		c.mu.Lock()
		if c.left > 0 && kmsg.Key(binary.BigEndian.Uint16(b[4:])) == c.key {
			c.left--
			c.deaf.Store(true)
		}
		c.mu.Unlock()
	}
	return c.Conn.Write(b)
}

// Read waits for the answer, so that the request was carried out for certain.
func (c *lossyConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n == 0 || !c.deaf.Load() {
		return n, err
	}
	c.mu.Lock()
	c.lost++
	c.mu.Unlock()
	return 0, errors.Join(errLost, c.Close())
}

var errLost = errors.New("the answer is lost")
