// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/schemas/record"
	"lapwing/schemas/topics"
	"lapwing/stream/lifecycle"
)

// fold takes records into lanes and writes out what comes of them, transaction by
// transaction. It holds what all lanes of a slot share, and belongs to its loop.
type fold struct {
	cfg     *Config
	metrics *metrics
	out     *outbox
	homes   *homes
	decoder *event.Decoder
	msg     event.Message
	step    lifecycle.Output
	source  string          // ce_source of public records
	now     instant.Instant // the wall clock, read once per batch

	topic struct {
		stageChanges, segmentChanges, profiles, history, activity, aggregates, deadLetters, mailbox, state string
	}
	input   map[string]Input // keyed inputs by topic
	ceBuf   []record.Header
	counted struct{ applied, held, duplicate, forwarded, deadlines int }
}

func newFold(cfg *Config, m *metrics, model *lifecycle.Model, client *kgo.Client) *fold {
	f := &fold{
		cfg: cfg, metrics: m,
		out:     newOutbox(client, cfg, cfg.topic(topics.State)),
		homes:   newHomes(cfg.Lanes),
		decoder: event.NewDecoder(model.Projection(), cfg.limits()),
		source:  "/lapwing/" + model.Definition().Name.Value,
		input:   map[string]Input{},
	}
	f.step.WantActivity = true
	f.topic.stageChanges = cfg.topic(topics.StageChanges)
	f.topic.segmentChanges = cfg.topic(topics.SegmentChanges)
	f.topic.profiles = cfg.topic(topics.Profiles)
	f.topic.history = cfg.topic(topics.History)
	f.topic.activity = cfg.topic(topics.Activity)
	f.topic.aggregates = cfg.topic(topics.Aggregates)
	f.topic.deadLetters = cfg.topic(topics.DeadLetters)
	f.topic.mailbox = cfg.topic(topics.Mailbox)
	f.topic.state = cfg.topic(topics.State)
	for _, in := range cfg.Inputs {
		if in.Keyed {
			f.input[in.Topic] = in
		}
	}
	return f
}

// keyedBatch takes in records of a keyed input.
func (f *fold) keyedBatch(l *lane, topic string, records []*kgo.Record) error {
	src := mailbox.Source{Topic: topic, Partition: l.id.lane}
	pos := l.positions[topic]
	newest := instant.None
	for _, r := range records {
		if r.Offset < pos.nextOffset {
			continue // of an assignment before this one
		}
		pos.nextOffset, pos.epoch = r.Offset+1, r.LeaderEpoch
		if r.Attrs.IsControl() {
			continue
		}
		stamp := instant.Of(r.Timestamp)
		cause := f.decoder.Decode(r.Value, stamp, &f.msg)
		if f.cfg.Clock == ClockWall {
			newest = max(newest, stamp)
		}
		if cause != "" {
			f.putAside(cause, src, r.Offset, r.Key, r.Value)
			continue
		}
		if f.cfg.Clock == ClockEvent {
			newest = max(newest, f.msg.Time)
		}
		if home := f.homes.of(f.msg.Customer); home != l.id.lane {
			e := mailbox.Envelope{Kind: mailbox.Event, Source: src, Position: r.Offset, At: stamp}
			f.out.forward(f.topic.mailbox, home, f.msg.Customer, &e, r.Value)
			f.counted.forwarded++
			continue
		}
		if err := f.accept(l); err != nil {
			return err
		}
	}
	l.positions[topic] = pos
	if f.cfg.Clock == ClockWall && newest != instant.None {
		newest = min(newest, f.now) // a record's timestamp may be anything
	}
	l.clock.Heard(src, newest)
	f.reached(l, src, pos.nextOffset)
	return nil
}

// reached tells the lane's clock how far a source it reads itself has come.
func (f *fold) reached(l *lane, src mailbox.Source, nextOffset int64) {
	if w := l.walls[src]; w != nil {
		l.clock.Heard(src, w.Reached(nextOffset))
	}
	l.clock.Reached(src, nextOffset)
}

// mailboxBatch takes in records of the mailbox: events sent here and clocks.
func (f *fold) mailboxBatch(l *lane, records []*kgo.Record) error {
	pos := l.positions[f.topic.mailbox]
	for _, r := range records {
		if r.Offset < pos.nextOffset {
			continue
		}
		pos.nextOffset, pos.epoch = r.Offset+1, r.LeaderEpoch
		if r.Attrs.IsControl() {
			continue
		}
		e, ours, err := f.envelope(r)
		switch {
		case err != nil:
			f.putAside(badEnvelope, mailbox.Source{Topic: r.Topic, Partition: r.Partition}, r.Offset, r.Key, r.Value)
		case !ours: // of another generation
		case e.Kind == mailbox.Clock:
			l.told(&e)
		default:
			if cause := f.decoder.Decode(r.Value, e.At, &f.msg); cause != "" {
				f.putAside(cause, e.Source, e.Position, r.Key, r.Value)
				continue
			}
			if err := f.accept(l); err != nil {
				return err
			}
		}
	}
	l.positions[f.topic.mailbox] = pos
	return nil
}

// envelope reads a mailbox record's headers; ours is false for another generation.
func (f *fold) envelope(r *kgo.Record) (e mailbox.Envelope, ours bool, err error) {
	var encoded []byte
	for i := range r.Headers {
		switch h := &r.Headers[i]; h.Key {
		case mailbox.Header:
			encoded = h.Value
		case generationHeader:
			ours = string(h.Value) == string(f.out.generation[0].Value)
		}
	}
	e, err = mailbox.DecodeEnvelope(encoded)
	return e, ours, err
}

// told takes a clock that came through the mailbox.
func (l *lane) told(e *mailbox.Envelope) {
	if e.Ended {
		l.clock.End(e.Source, e.At, e.Position)
		return
	}
	l.clock.Heard(e.Source, e.At)
	l.clock.Reached(e.Source, e.Position)
}

// accept folds the decoded message into its customer.
func (f *fold) accept(l *lane) error {
	c, err := l.find(f.msg.Customer)
	if err != nil {
		return err
	}
	f.step.Reset()
	switch l.model.Accept(c.state, c.id, &f.msg, f.detected(max(f.msg.Time, l.clock.Watermark())), &f.step) {
	case lifecycle.Duplicate:
		f.counted.duplicate++
		return nil
	case lifecycle.Held:
		f.counted.held++
	case lifecycle.Applied:
		f.counted.applied++
	}
	f.stepped(l, c)
	return nil
}

// detected is the clock for detected_at: the wall clock, or, where only event time
// counts, where that stands.
func (f *fold) detected(eventClock instant.Instant) instant.Instant {
	if f.cfg.Clock == ClockEvent {
		return eventClock
	}
	return f.now
}

// wave fires the deadlines of silent customers that the lane's clock has reached, at
// most so many; more reports whether some are left.
func (f *fold) wave(l *lane) (more bool, err error) {
	w := l.clock.Watermark()
	if w == instant.None {
		return false, nil
	}
	detected := f.detected(w)
	for range f.cfg.Wave {
		c := l.due.next(w)
		if c == nil {
			l.totals.Close(w)
			return false, nil
		}
		if err := l.load(c); err != nil {
			return false, err
		}
		f.step.Reset()
		l.model.Advance(c.state, c.id, w, detected, &f.step)
		f.counted.deadlines++
		f.stepped(l, c)
	}
	return l.due.next(w) != nil, nil
}

// stepped writes out what one step of a customer produced.
func (f *fold) stepped(l *lane, c *customer) {
	l.touch(c)
	l.due.set(c, l.model.Due(c.state))
	c.changed = c.changed || f.step.Changed || f.step.Ended
	for i := range f.step.Records {
		r := &f.step.Records[i]
		l.totals.AddTransition(r)
		f.change(l, r)
	}
	for i := range f.step.Activity {
		a := &f.step.Activity[i]
		l.totals.Add(a)
		f.out.produce(f.topic.activity, l.id.lane, f.out.keep([]byte(c.id)), f.out.bytes(a.AppendJSON), nil)
	}
}

// change produces a stage or segment change, to its public topic or to history.
func (f *fold) change(l *lane, r *record.Record) {
	topic := f.topic.stageChanges
	if r.Kind == record.SegmentChange {
		topic = f.topic.segmentChanges
	}
	if r.Backfill {
		topic = f.topic.history
	}
	f.ceBuf = r.AppendHeaders(f.ceBuf[:0], f.source)
	start := len(f.out.headers)
	f.out.headers = append(f.out.headers, f.out.generation...)
	for _, h := range f.ceBuf {
		f.out.headers = append(f.out.headers, kgo.RecordHeader{Key: h.Key, Value: []byte(h.Value)})
	}
	headers := f.out.headers[start:len(f.out.headers):len(f.out.headers)]
	f.out.produce(topic, l.id.lane, f.out.keep([]byte(r.CustomerID)), f.out.bytes(r.AppendJSON), headers)
	f.metrics.changes.WithLabelValues(string(r.Kind), strconv.FormatBool(r.Backfill)).Inc()
}

func (f *fold) putAside(cause event.Cause, src mailbox.Source, offset int64, key, value []byte) {
	f.out.deadLetter(f.topic.deadLetters, cause, src, offset, key, value)
	f.metrics.deadLetters.WithLabelValues("stream", string(cause)).Inc()
}

// finish writes what a transaction leaves behind in a lane: each changed customer
// once, its profile, the totals, and the lane's own record.
func (f *fold) finish(l *lane) {
	for _, c := range l.touched {
		if c.changed {
			f.profile(l, c)
		}
		f.customer(l, c)
	}
	l.totals.Each(func(a *record.Aggregate, key, value []byte) {
		k := f.out.keep(key)
		f.out.produce(f.topic.aggregates, l.id.lane, k, f.out.bytes(a.AppendJSON), nil)
		f.put(l, mailbox.StateAggregate, string(key), f.out.keep(value))
	})
	l.totals.EachDropped(func(key []byte) { f.put(l, mailbox.StateAggregate, string(key), nil) })
	rec := l.laneRecord()
	if encoded := f.out.bytes(rec.Append); string(encoded) != string(l.committed) {
		f.put(l, mailbox.StateLane, "", encoded)
		l.pending, l.pendingRec = encoded, rec
	}
}

func (f *fold) customer(l *lane, c *customer) {
	switch {
	case c.state.Begun():
		f.put(l, mailbox.StateCustomer, c.id, f.out.bytes(func(dst []byte) []byte {
			return l.model.AppendState(mailbox.AppendCustomer(dst, c.due), c.state)
		}))
	case c.stored:
		f.put(l, mailbox.StateCustomer, c.id, nil)
	}
}

func (f *fold) profile(l *lane, c *customer) {
	var value []byte // nil: a tombstone
	if c.state.Begun() {
		p := l.model.Profile(c.state, c.id)
		value = f.out.bytes(p.AppendJSON)
	}
	f.out.produce(f.topic.profiles, l.id.lane, f.out.keep([]byte(c.id)), value, nil)
}

// put writes one record of the changelog, and the same to the store once it is committed.
func (f *fold) put(l *lane, kind mailbox.StateKind, id string, value []byte) {
	key := f.out.bytes(func(dst []byte) []byte { return mailbox.AppendStateKey(dst, kind, l.id.generation, id) })
	f.out.produce(f.topic.state, l.id.lane, key, value, nil)
	l.writes = append(l.writes, write{key: string(key), value: value})
}

// count moves what was counted in a committed transaction to the metrics.
func (f *fold) count() {
	for _, c := range []struct {
		result string
		n      int
	}{
		{"applied", f.counted.applied},
		{"held", f.counted.held},
		{"duplicate", f.counted.duplicate},
		{"forwarded", f.counted.forwarded},
	} {
		if c.n > 0 {
			f.metrics.events.WithLabelValues("stream", c.result).Add(float64(c.n))
		}
	}
	f.metrics.deadlines.Add(float64(f.counted.deadlines))
	f.discount()
}

func (f *fold) discount() {
	f.counted = struct{ applied, held, duplicate, forwarded, deadlines int }{}
}
