// SPDX-License-Identifier: Apache-2.0

//go:build linux

package stream

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"lapwing/deploy/embedded/kafkatest"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/schemas/topics"
	"lapwing/stream/oracle"
)

var chaosSeed = flag.Uint64("chaosseed", 0, "the seed of the chaos tests against a real broker; 0: a new one")

// patience bounds whatever the tests wait for; it is long since the machine may be busy.
const patience = 90 * time.Second

// realWorld is a world on Apache Kafka whose workers are processes of their own.
type realWorld struct {
	*world
	kafka    *kafkatest.Kafka
	seed     uint64
	rng      *rand.Rand
	adm      *kadm.Client
	history  []message       // as random customers, in the order of time
	fed      int             // how many of them were produced, or are being
	horizon  instant.Instant // where the sources end, if later than the last message
	wanted   map[string]oracle.Result
	children map[string]*child // the latest of each name
	seen     *subscriber
}

// newRealWorld has topics and a group of its own, named after the fault, and the
// history of so many customers, one after the other by time.
func newRealWorld(t *testing.T, kafka *kafkatest.Kafka, name string, customers int, change func(*Config)) *realWorld {
	t.Helper()
	seed := *chaosSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	w := &realWorld{
		world: &world{t: t, now: time.Now, log: zap.NewNop(), dial: new(net.Dialer).DialContext, def: parse(t, withCampaigns(t))},
		kafka: kafka, seed: seed, rng: rand.New(rand.NewPCG(seed, 7)), children: map[string]*child{},
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat with: go test ./stream -run '%s' -count=1 -chaos=%s -chaosseed=%d", t.Name(), *chaosForm, seed)
		}
	})
	w.cfg = realConfig(kafka.Addr())
	name += "-" + strconv.FormatUint(rand.Uint64(), 36) // a test may run more than once on one broker
	w.cfg.Prefix, w.cfg.Group = name+".", name
	w.cfg.Inputs = []Input{{Topic: name + "-events", Keyed: true}}
	w.cfg.Lanes, w.cfg.Slots = 6, 1
	w.cfg.SessionTimeout, w.cfg.TransactionTimeout = 3*time.Second, 5*time.Second
	w.cfg.StateDir = t.TempDir() // of each instance a folder within
	if change != nil {
		change(&w.cfg)
	}
	w.history = w.sample(customers)
	client := w.client()
	w.adm = kadm.NewClient(client)
	retention := "-1" // the records are of 1997
	if _, err := w.adm.CreateTopic(t.Context(), w.cfg.Lanes, 1, map[string]*string{"retention.ms": &retention}, w.input()); err != nil {
		t.Fatal(err)
	}
	if err := EnsureTopics(t.Context(), client, &w.cfg); err != nil {
		t.Fatal(err)
	}
	w.seen = w.subscribe()
	return w
}

func (w *realWorld) input() string { return w.cfg.Inputs[0].Topic }

// sample is the history of random customers of CDNOW, in the order of time.
func (w *realWorld) sample(customers int) []message {
	w.t.Helper()
	everyone, _ := history(w.t, 1)
	var ids []string
	for _, m := range everyone {
		ids = append(ids, m.customer)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	w.rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	chosen := map[string]bool{}
	for _, id := range ids[:min(customers, len(ids))] {
		chosen[id] = true
	}
	return slices.DeleteFunc(everyone, func(m message) bool { return !chosen[m.customer] })
}

// until waits for a state of the world: holds returns what is still missing.
func (w *realWorld) until(what string, holds func() string) {
	w.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		missing := holds()
		if missing == "" {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			w.t.Fatalf("seed %d: waited %s for %s: %s; transactions that are open: %s", w.seed, patience, what, missing, w.openTransactions())
		}
	}
}

// openTransactions says what holds readers back.
func (w *realWorld) openTransactions() string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var names kadm.TopicsSet
	names.Add("__consumer_offsets", 0, 1)
	for _, t := range topics.All() {
		if t.Lanes {
			for lane := range w.cfg.Lanes {
				names.Add(t.Full(w.cfg.Prefix), lane)
			}
		}
	}
	described, err := w.adm.DescribeProducers(ctx, names)
	if err != nil {
		return err.Error()
	}
	var open []string
	described.EachProducer(func(p kadm.DescribedProducer) {
		if p.CurrentTxnStartOffset >= 0 {
			open = append(open, fmt.Sprintf("%s/%d from offset %d (producer %d, epoch %d)", p.Topic, p.Partition, p.CurrentTxnStartOffset, p.ProducerID, p.ProducerEpoch))
		}
	})
	if len(open) == 0 {
		return "none"
	}
	return strings.Join(open, ", ")
}

// pause lets a random time pass: a fault comes at a moment of its own.
func (w *realWorld) pause(least, most time.Duration) {
	moment := time.NewTimer(least + time.Duration(w.rng.Int64N(int64(most-least)+1)))
	defer moment.Stop()
	<-moment.C
}

// spawn starts a worker under a name, whose store stays the same over restarts.
func (w *realWorld) spawn(name string) *child {
	w.t.Helper()
	c := startChild(w.t, w.order(name))
	w.children[name] = c
	return c
}

func (w *realWorld) order(name string) order {
	o := order{Config: w.cfg, Until: instant.None}
	o.Config.Instance = name
	o.Config.StateDir = w.storeOf(name)
	return o
}

func (w *realWorld) storeOf(name string) string { return filepath.Join(w.cfg.StateDir, name) }

// lose deletes what a worker has stored.
func (w *realWorld) lose(name string) {
	w.t.Helper()
	if err := os.RemoveAll(w.storeOf(name)); err != nil {
		w.t.Fatal(err)
	}
}

// names of the workers that were started, in order.
func (w *realWorld) names() []string {
	var names []string
	for name := range w.children {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// alive fails the test if a worker has ended by itself.
func (w *realWorld) alive() {
	w.t.Helper()
	for _, name := range w.names() {
		if c := w.children[name]; !c.running() {
			w.t.Fatalf("worker %s ended by itself: %q", name, c.word().End)
		}
	}
}

// owned waits until the workers have all lanes between them, each at least one.
func (w *realWorld) owned(what string) {
	w.t.Helper()
	w.until(what, func() string {
		w.alive()
		lanes := map[int32]bool{}
		for _, name := range w.names() {
			has := w.children[name].word().Lanes
			if len(has) == 0 {
				return fmt.Sprintf("worker %s has no lane", name)
			}
			for _, l := range has {
				lanes[l] = true
			}
		}
		if n := int(w.cfg.Lanes) - len(lanes); n > 0 {
			return fmt.Sprintf("%d lanes have no owner", n)
		}
		return ""
	})
}

// retire stops a worker in good order.
func (w *realWorld) retire(names ...string) {
	w.t.Helper()
	for _, name := range names {
		w.children[name].signal(w.t, sigterm)
	}
	for _, name := range names {
		if end := w.children[name].await(w.t, patience); end != "stopped" {
			w.t.Errorf("worker %s was told to stop and ended with %q", name, end)
		}
		delete(w.children, name)
	}
}

// feed produces the next messages of the history evenly over a time, beside what the
// test does; the function it returns waits for the last acknowledgement.
func (w *realWorld) feed(n int, over time.Duration) (done func()) {
	w.t.Helper()
	n = min(n, len(w.history)-w.fed)
	part := w.history[w.fed : w.fed+n]
	w.fed += n
	client := w.client()
	ended := make(chan error, 1)
	ctx := w.t.Context()
	go func() {
		var failed atomic.Pointer[error]
		begin := time.Now()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for sent := 0; sent < len(part) && ctx.Err() == nil; {
			due := len(part)
			if passed := time.Since(begin); passed < over {
				due = int(float64(len(part)) * float64(passed) / float64(over))
			}
			for ; sent < due; sent++ {
				client.Produce(ctx, w.record(part[sent], w.input()), func(_ *kgo.Record, err error) {
					if err != nil {
						failed.CompareAndSwap(nil, &err)
					}
				})
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
		err := client.Flush(ctx)
		if first := failed.Load(); first != nil {
			err = *first
		}
		ended <- err
	}()
	return func() {
		w.t.Helper()
		limit := time.NewTimer(patience)
		defer limit.Stop()
		select {
		case err := <-ended:
			if err != nil {
				w.t.Fatalf("produce the load: %v", err)
			}
		case <-limit.C:
			w.t.Fatal("the load cannot be produced")
		}
	}
}

// messages are those that were fed, and where the clock ends.
func (w *realWorld) messages() ([]message, instant.Instant) {
	return w.history[:w.fed], max(w.horizon, w.history[w.fed-1].at)
}

// judge is what the oracle says of all that was fed.
func (w *realWorld) judge() map[string]oracle.Result {
	w.t.Helper()
	judge, err := oracle.New(w.def)
	if err != nil {
		w.t.Fatal(err)
	}
	messages, until := w.messages()
	of := map[string][]oracle.Message{}
	for _, m := range messages {
		om, ok := oracle.Decode(m.bytes())
		if !ok {
			w.t.Fatalf("the oracle cannot use %s", m.bytes())
		}
		of[m.customer] = append(of[m.customer], om)
	}
	results := map[string]oracle.Result{}
	for id, ms := range of {
		results[id] = judge.Customer(id, ms, until)
	}
	return results
}

// finish ends the sources and waits until all that was fed, and all deadlines up to
// the end, are committed.
func (w *realWorld) finish() {
	w.t.Helper()
	_, until := w.messages()
	w.end(until)
	w.settled()
}

func (w *realWorld) settled() {
	w.t.Helper()
	w.wanted = w.judge()
	want := 0
	for _, r := range w.wanted {
		for i := range r.Records {
			if r.Records[i].Kind == record.StageChange {
				want++
			}
		}
	}
	w.until("the workers to come to the end", func() string {
		w.alive()
		if got := w.seen.count(); got < want {
			return fmt.Sprintf("%d of %d stage changes are committed", got, want)
		}
		return w.unread()
	})
}

// read waits until all that was fed is committed.
func (w *realWorld) read() {
	w.t.Helper()
	w.until("the workers to read all there is", w.unread)
}

// unread says where the group has not yet committed the end of what it reads.
func (w *realWorld) unread() string {
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	ends, err := w.adm.ListEndOffsets(ctx, w.input(), w.cfg.topic(topics.Mailbox))
	if err != nil {
		return err.Error()
	}
	at, err := w.adm.FetchOffsets(ctx, w.cfg.workerGroup())
	if err != nil {
		return err.Error()
	}
	var behind []string
	ends.Each(func(o kadm.ListedOffset) {
		c, _ := at.Lookup(o.Topic, o.Partition)
		if o.Err != nil || o.Offset > 0 && c.At < o.Offset {
			behind = append(behind, fmt.Sprintf("%s/%d stands at %d of %d (%v)", o.Topic, o.Partition, c.At, o.Offset, o.Err))
		}
	})
	return strings.Join(behind, ", ")
}

// equal is the invariant: what is committed is what the fold and the oracle say of
// the messages, none missing, none twice, in order; so are profiles and totals.
func (w *realWorld) equal() {
	w.t.Helper()
	messages, until := w.messages()
	w.same(messages, until)
	w.sameTotals(messages, until)
	j := newJudgement()
	profiles := 0
	for _, r := range w.wanted {
		for i := range r.Records {
			j.add(&r.Records[i], whole(r.Records[i]))
		}
		if r.Profile != nil {
			profiles++
		}
	}
	j.compare(w.t, " by the oracle", w.wholes)
	last := map[string]string{}
	for _, r := range w.all(topics.Profiles) {
		last[string(r.Key)] = string(r.Value)
	}
	if len(last) != profiles {
		w.t.Errorf("%d profiles, the oracle has %d", len(last), profiles)
	}
	for id, r := range w.wanted {
		if r.Profile != nil && last[id] != string(r.Profile.AppendJSON(nil)) {
			w.t.Fatalf("profile of %s\n    got %s\nwant %s (oracle)", id, last[id], r.Profile.AppendJSON(nil))
		}
	}
}

// wholes are a topic's records with every field but when they were detected.
func (w *realWorld) wholes(topic string) changes {
	w.t.Helper()
	c := changes{}
	for _, r := range w.all(topic) {
		rec, err := record.DecodeRecord(r.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		c.add(rec.CustomerID, rec.ID.String(), whole(rec))
	}
	return c
}

func whole(r record.Record) string {
	r.DetectedAt = r.EffectiveAt
	return string(r.AppendJSON(nil))
}

// subscriber reads the stage changes as any service would.
type subscriber struct{ n atomic.Int64 }

func (s *subscriber) count() int { return int(s.n.Load()) }

func (w *realWorld) subscribe() *subscriber {
	w.t.Helper()
	s := &subscriber{}
	client := w.client(kgo.ConsumeTopics(w.cfg.topic(topics.StageChanges)),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{}) // closed by the reader
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			s.n.Add(int64(client.PollFetches(ctx).NumRecords()))
		}
	}()
	w.t.Cleanup(func() { cancel(); <-ended })
	return s
}
