// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

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
	inputs  *inputs
	cfg     *Config
	metrics *metrics
	out     *outbox
	homes   *homes
	msg     event.Message
	step    lifecycle.Output

	definitions *catalogue
	decoders    map[*event.Projection]*event.Decoder
	log         *zap.Logger

	source string          // ce_source of public records
	now    instant.Instant // the wall clock, read once per batch
	next   [ahead]*customer
	peeked int64 // so that no compiler leaves the peeking out

	topic struct {
		changes map[record.Kind]string

		profiles, history, activity, aggregates, deadLetters, mailbox, state string
	}
	input    map[string]Input // keyed inputs by topic
	ceBuf    []record.Header
	profiles lifecycle.ProfileBuffer
	exceeded lifecycle.Overflow // in this transaction
	counted  counts
	tally    tally // what comes more seldom
}

// counts is what a transaction counts.
type counts struct{ applied, held, duplicate, forwarded, deadlines, brought, keptOut, delayed int }

// newFold is a fold for lanes of the definition of that name.
func newFold(cfg *Config, m *metrics, definitions *catalogue, name string, client *kgo.Client, log *zap.Logger) *fold {
	f := &fold{
		cfg: cfg, metrics: m, definitions: definitions, decoders: map[*event.Projection]*event.Decoder{}, log: log,
		out:    newOutbox(client, cfg, cfg.topic(topics.State)),
		homes:  newHomes(cfg.Lanes),
		source: "/lapwing/" + name,
		input:  map[string]Input{},
		tally:  tally{},
	}
	f.step.MaxDelay = cfg.MaxDelay
	switch {
	case cfg.Activity == ActivityAll:
		f.step.WantActivity = lifecycle.WantAll
	case cfg.Aggregates || cfg.Activity == ActivityReferenced:
		f.step.WantActivity = lifecycle.WantCounted
	}
	f.topic.changes = map[record.Kind]string{
		record.StageChange:   cfg.topic(topics.StageChanges),
		record.SegmentChange: cfg.topic(topics.SegmentChanges),
		record.Assignment:    cfg.topic(topics.Assignments),
		record.Conversion:    cfg.topic(topics.Conversions),
	}
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

// decoder reads what the lane's definition asks of messages.
func (f *fold) decoder(l *lane) *event.Decoder {
	d := f.decoders[l.model.Projection()]
	if d == nil {
		d = event.NewDecoder(l.model.Projection(), f.cfg.limits())
		f.decoders[l.model.Projection()] = d
	}
	return d
}

// keyedBatch takes in records of a keyed input. upTo is the next offset behind them, if
// it is more than the last record says.
func (f *fold) keyedBatch(l *lane, topic string, records []*kgo.Record, upTo int64) error {
	src := mailbox.Source{Topic: topic, Partition: l.id.Lane}
	pos := l.positions[topic]
	newest, decoder := instant.None, f.decoder(l)
	defer recycle(records)
	for i, r := range records {
		if i%ahead == 0 {
			f.lookAhead(l, records[i:])
		}
		if r.Offset < pos.nextOffset {
			continue // of an assignment before this one
		}
		pos.nextOffset, pos.epoch = r.Offset+1, r.LeaderEpoch
		if r.Attrs.IsControl() {
			continue
		}
		stamp := instant.Of(r.Timestamp)
		cause := decoder.Decode(r.Value, stamp, &f.msg)
		if f.cfg.Clock == ClockWall {
			newest = max(newest, stamp)
		}
		if cause != "" {
			f.putAside(causeOf(r, cause), src, r.Offset, r.Key, r.Value)
			continue
		}
		if f.cfg.Clock == ClockEvent {
			newest = max(newest, f.msg.Time)
		}
		if home := f.homes.of(f.msg.Customer); home != l.id.Lane {
			e := mailbox.Envelope{Kind: mailbox.Event, Source: src, Position: r.Offset, At: stamp}
			f.out.forward(f.topic.mailbox, home, f.msg.Customer, &e, r.Value)
			f.counted.forwarded++
			continue
		}
		if err := f.accept(l, f.next[i%ahead]); err != nil {
			return err
		}
	}
	pos.nextOffset = max(pos.nextOffset, upTo)
	l.positions[topic] = pos
	if f.cfg.Clock == ClockWall && newest != instant.None {
		newest = min(newest, f.now) // a record's timestamp may be anything
	}
	l.clock.Heard(src, newest)
	f.reached(l, src, pos.nextOffset)
	return nil
}

// recycle gives the memory of fetched records back to the client's pools. Whatever
// outlives the batch has been copied.
func recycle(records []*kgo.Record) {
	for _, r := range records {
		r.Recycle()
	}
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
	defer recycle(records)
	pos, decoder := l.positions[f.topic.mailbox], f.decoder(l)
	for i, r := range records {
		if i%ahead == 0 {
			f.lookAhead(l, records[i:])
		}
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
			f.putAside(BadEnvelope, mailbox.Source{Topic: r.Topic, Partition: r.Partition}, r.Offset, r.Key, r.Value)
		case !ours: // of another generation
		case e.Kind == mailbox.Clock:
			f.inputs.meet(l, e.Source)
			l.told(&e)
		case e.Kind == mailbox.Definition:
			if err := f.follow(l, &e, r); err != nil {
				return err
			}
			decoder = f.decoder(l)
		default:
			if cause := decoder.Decode(r.Value, e.At, &f.msg); cause != "" {
				f.putAside(cause, e.Source, e.Position, r.Key, r.Value)
				continue
			}
			if err := f.accept(l, f.next[i%ahead]); err != nil {
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

// ahead is of how many records the customers are looked up together. They lie far apart
// in memory, and a processor fetches what several need at once, but not what a step needs
// while another is going on.
const ahead = 16

// lookAhead looks up the customers whose ids are the keys of the next records, nil if
// they are not at hand.
func (f *fold) lookAhead(l *lane, records []*kgo.Record) {
	records = records[:min(ahead, len(records))]
	for i, r := range records {
		f.next[i] = l.cache.get(r.Key)
	}
	f.peek(f.next[:len(records)])
}

// peek fetches what the next steps of these customers need.
func (f *fold) peek(next []*customer) {
	for _, c := range next {
		if c != nil {
			f.peeked += c.state.Peek()
		}
	}
}

// accept folds the decoded message into its customer, which guess is if it is not nil and
// the record's key told the truth.
func (f *fold) accept(l *lane, guess *customer) (err error) {
	c := guess
	if c == nil || c.id != string(f.msg.Customer) {
		if c, err = l.find(f.msg.Customer); err != nil {
			return err
		}
	}
	f.bring(l, c)
	f.step.Reset()
	switch l.model.Accept(c.state, c.id, &f.msg, f.detected(max(f.msg.Time, l.clock.Watermark())), &f.step) {
	case lifecycle.Duplicate:
		f.counted.duplicate++
		if !f.step.Ended && len(f.step.Records) == 0 { // what it told before that remains
			return nil
		}
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
	w := l.watermark()
	if w == instant.None {
		return false, nil
	}
	detected := f.detected(w)
	for range f.cfg.Wave {
		c, err := l.nextDue(w)
		if err != nil {
			return false, err
		}
		if c == nil {
			if len(l.defs.former) == 0 { // who is brought over may have missed some
				l.totals.Close(w)
			}
			return false, nil
		}
		f.bring(l, c)
		f.step.Reset()
		l.model.Advance(c.state, c.id, w, detected, &f.step)
		f.counted.deadlines++
		f.stepped(l, c)
	}
	c, err := l.firstDue(w)
	return c != nil, err
}

// stepped writes out what one step of a customer produced.
func (f *fold) stepped(l *lane, c *customer) {
	l.touch(c)
	l.setDue(c, l.model.Due(c.state))
	c.changed = c.changed || f.step.Changed || f.step.Ended
	f.exceeded.Add(&f.step.Overflow)
	f.counted.keptOut += int(f.step.KeptOut)
	f.counted.delayed += int(f.step.Delayed)
	for i := range f.step.Records {
		r := &f.step.Records[i]
		if f.cfg.Aggregates {
			l.totals.AddTransition(r)
		}
		f.change(l, r)
	}
	for i := range f.step.Activity {
		a := &f.step.Activity[i]
		a.TooLate = a.EventTime < l.totals.ClosedUntil()
		if f.cfg.Aggregates {
			l.totals.Add(a)
		}
		if f.cfg.Activity == ActivityOff || f.cfg.Activity == ActivityReferenced && !a.Referenced() {
			continue
		}
		f.out.produce(f.topic.activity, l.id.Lane, f.out.keep([]byte(c.id)), f.out.bytes(a.AppendJSON), nil)
	}
}

// change produces a change of any kind, to its public topic or to history.
func (f *fold) change(l *lane, r *record.Record) {
	topic := f.topic.changes[r.Kind]
	if r.Backfill {
		topic = f.topic.history
	}
	f.ceBuf = r.AppendHeaders(f.ceBuf[:0], f.source)
	start := len(f.out.headers)
	f.out.headers = append(f.out.headers, f.out.generation...)
	for _, h := range f.ceBuf {
		f.out.headers = append(f.out.headers, kgo.RecordHeader{Key: h.Key, Value: f.out.keepText(h.Value)})
	}
	headers := f.out.headers[start:len(f.out.headers):len(f.out.headers)]
	f.out.produce(topic, l.id.Lane, f.out.keep([]byte(r.CustomerID)), f.out.bytes(r.AppendJSON), headers)
	f.tally[f.metrics.changes.WithLabelValues(string(r.Kind), strconv.FormatBool(r.Backfill))]++
}

func (f *fold) putAside(cause event.Cause, src mailbox.Source, offset int64, key, value []byte) {
	f.out.deadLetter(f.topic.deadLetters, cause, src, offset, key, value)
	f.tally[f.metrics.deadLetters.WithLabelValues("stream", string(cause))]++
}

// finish writes what a transaction leaves behind in a lane: each changed customer
// once, its profile, the totals, and the lane's own record.
func (f *fold) finish(l *lane) {
	for i, c := range l.touched {
		if i%ahead == 0 {
			f.peek(l.touched[i:min(i+ahead, len(l.touched))])
		}
		if c.changed && (l.record.PublishFrom != shadowing || l.takeover != nil) {
			f.profile(l, c)
		}
		f.customer(l, c)
	}
	l.totals.Each(func(a *record.Aggregate, key, value []byte) {
		k := f.out.keep(key)
		f.out.produce(f.topic.aggregates, l.id.Lane, k, f.out.bytes(a.AppendJSON), nil)
		f.note(l, mailbox.StateAggregate, string(key), f.out.keep(value))
	})
	l.totals.EachDropped(func(key []byte) { f.note(l, mailbox.StateAggregate, string(key), nil) })
	f.tell(l)
	f.save(l)
	rec := l.laneRecord()
	if encoded := f.out.bytes(rec.Append); string(encoded) != string(l.committed) {
		f.note(l, mailbox.StateLane, "", encoded)
		l.pending, l.pendingRec = encoded, rec
	}
}

func (f *fold) customer(l *lane, c *customer) {
	c.begun = c.state.Begun()
	switch {
	case c.begun:
		start := len(f.out.arena)
		f.out.arena = l.modelOf(c).AppendState(mailbox.AppendCustomer(f.out.arena, c.due), c.state)
		c.pending = f.out.arena[start:len(f.out.arena):len(f.out.arena)]
		c.measure()
		if !c.stored {
			l.born++
			if c.version != l.made() {
				l.defs.left++
			}
		}
	case c.stored:
		c.pending = nil
		c.measure()
		l.born--
	default: // it was never there
		c.pending = nil
		return
	}
	f.put(l, mailbox.StateCustomer, c.id, c.pending)
}

func (f *fold) profile(l *lane, c *customer) {
	var value []byte // nil: a tombstone
	if c.state.Begun() {
		value = f.out.bytes(l.modelOf(c).ProfileIn(&f.profiles, c.state, c.id).AppendJSON)
	}
	f.out.produce(f.topic.profiles, l.id.Lane, f.out.keep([]byte(c.id)), value, nil)
}

// put writes one record of the changelog.
func (f *fold) put(l *lane, kind mailbox.StateKind, id string, value []byte) {
	start := len(f.out.arena)
	f.out.arena = mailbox.AppendStateKey(f.out.arena, kind, l.id.Generation, id)
	f.out.produce(f.topic.state, l.id.Lane, f.out.arena[start:len(f.out.arena):len(f.out.arena)], value, nil)
}

// note writes one record of the changelog that is not a customer's.
func (f *fold) note(l *lane, kind mailbox.StateKind, id string, value []byte) {
	f.put(l, kind, id, value)
	l.notes = append(l.notes, note{kind: kind, id: id, value: value})
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
	f.metrics.brought.Add(float64(f.counted.brought))
	f.metrics.keptOut.Add(float64(f.counted.keptOut))
	f.metrics.delayed.Add(float64(f.counted.delayed))
	f.metrics.addExceeded(&f.exceeded)
	f.tally.count()
	f.discount()
}

func (f *fold) discount() {
	f.exceeded = lifecycle.Overflow{}
	f.counted = counts{}
	clear(f.tally)
}
