// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/stream/lifecycle"
)

// A lane follows the definition that its mailbox tells, in the transaction that reads it,
// or once its clock has come to the instant it names. From then on events are taken in
// under the new one. The customers are brought over when they are touched, and all others
// in a sweep beside the live events, in the order of their ids; how far it has come stands
// in the lane's record, so that whoever gets the lane next goes on from there.

// ErrNotUnderstood says that this Lapwing cannot read a definition that others have put live.
var ErrNotUnderstood = errors.New("this version of Lapwing does not understand the definition")

// succession is what a lane knows of its definitions. It is a value: an abort takes it back
// as a whole, so its lists are never changed in place.
type succession struct {
	lineage *lifecycle.Lineage
	since   instant.Instant
	former  []mailbox.Succession
	waiting []mailbox.Succession
	left    int64
	sweptTo string

	saved     bool      // the live definition stands in the changelog
	committed bool      // the switch is not of this transaction
	began     time.Time // when the switch was committed, in this process
}

// made is the version of the definition by which the lane takes events in.
func (l *lane) made() int64 { return l.model.Definition().Version }

// follow takes in a definition that follows the live one. One that is known is passed over.
func (f *fold) follow(l *lane, e *mailbox.Envelope, r *kgo.Record) error {
	d := &l.defs
	f.save(l) // whoever gets the lane next needs it, too
	newest := l.made()
	for _, w := range d.waiting {
		newest = max(newest, w.Version)
	}
	if e.Position <= newest {
		return nil
	}
	m, err := f.definitions.compile(string(r.Key), r.Value)
	if err != nil {
		return fmt.Errorf("%w: %w: start the Lapwing that has put it live", ErrNotUnderstood, err)
	}
	def := m.Definition()
	if def.Name.Value != l.record.Definition || def.Version != e.Position {
		return fmt.Errorf("the mailbox of lane %d has %s version %d as version %d of %s: %w",
			l.id.Lane, def.Name.Value, def.Version, e.Position, l.record.Definition, ErrOtherDefinition)
	}
	f.note(l, mailbox.StateDefinition, definitionID(def.Version), f.out.bytes(func(dst []byte) []byte {
		return mailbox.AppendDefinition(dst, def.Source)
	}))
	// One that waits for no earlier instant would never be the newest: it is given up.
	for n := len(d.waiting); n > 0 && d.waiting[n-1].Since >= e.At; n-- {
		f.note(l, mailbox.StateDefinition, definitionID(d.waiting[n-1].Version), nil)
		d.waiting = d.waiting[:n-1]
	}
	d.waiting = append(slices.Clip(d.waiting), mailbox.Succession{Version: def.Version, Hash: def.Hash, Since: e.At})
	f.succeed(l)
	return nil
}

// succeeds reports whether a definition that waits is to be live by now.
func (l *lane) succeeds() bool {
	return len(l.defs.waiting) > 0 && l.defs.waiting[0].Since <= l.watermark()
}

// succeed has the lane follow the definitions whose time has come.
func (f *fold) succeed(l *lane) {
	for l.succeeds() {
		d := &l.defs
		next := d.waiting[0]
		since := l.watermark()
		if next.Since > l.record.Watermark { // deadlines up to that may have been fired
			since = next.Since
		}
		d.former = append(slices.Clip(d.former), mailbox.Succession{Version: l.made(), Hash: l.model.Definition().Hash, Since: d.since})
		d.waiting = d.waiting[1:]
		d.since = max(since, d.since)
		if len(d.waiting) == 0 {
			d.waiting = nil
		}
		d.lineage = d.lineage.Then(f.definitions.from(f.definitions.known(next.Hash), l.record.PublishFrom), d.since)
		d.left, d.sweptTo, d.saved, d.committed = l.record.Customers, "", true, false
		l.model = d.lineage.Newest()
		l.totals.Redefine(l.model.Definition())
		f.log.Info("definition follows", zap.Int32("lane", l.id.Lane), zap.Int64("definition_version", next.Version), zap.Stringer("since", d.since),
			zap.Int64("customers", d.left))
	}
}

// bring brings a customer over to the lane's definition, if it was made by another.
func (f *fold) bring(l *lane, c *customer) {
	if c.version == l.made() {
		return
	}
	d := &l.defs
	l.touch(c)
	f.step.Reset()
	detected := f.detected(max(l.clock.Watermark(), c.state.Clock()))
	c.state = d.lineage.Bring(c.version, c.state, c.id, detected, &f.step)
	c.version = l.made()
	if c.stored {
		d.left--
	}
	f.counted.brought++
	f.stepped(l, c)
}

// sweepable reports whether customers may be looked for in the local store: it has all
// that are still to be brought over once nothing waits for it that did so at the switch.
func (l *lane) sweepable() bool {
	d := &l.defs
	if len(d.former) == 0 || !d.committed || l.takeover != nil {
		return false
	}
	queue := l.behind.queue
	return len(queue) == 0 || queue[0].since.After(d.began)
}

const (
	// sweepShare is the part of a transaction's least time that bringing customers over may
	// take, for all lanes of a slot together, while there are live events.
	sweepShare = 10
	// sweepChunk is how many customers are looked for at once, and sweepLook how many times
	// more are looked at: the time is asked for in between.
	sweepChunk = 64
	sweepLook  = 4
)

// sweepFor is how long a transaction may bring customers over that has read so many records.
func (i Interval) sweepFor(records int) time.Duration {
	if records == 0 {
		return i.Min
	}
	return i.Min / sweepShare
}

// sweep brings over some of the customers that nothing has touched, until then, and at most
// as many as a wave has; more reports whether some are left.
func (f *fold) sweep(l *lane, until time.Time) (more bool, err error) {
	if !l.sweepable() {
		return false, nil
	}
	d := &l.defs
	for brought := 0; brought < f.cfg.Wave && time.Now().Before(until); {
		stale, last, err := l.stale(min(sweepChunk, f.cfg.Wave-brought))
		if err != nil {
			return false, err
		}
		for _, id := range stale {
			c, err := l.find([]byte(id))
			if err != nil {
				return false, err
			}
			f.bring(l, c)
			c.used = false // it was not asked for
		}
		brought += len(stale)
		if last == "" {
			f.swept(l)
			return false, nil
		}
		d.sweptTo = last
	}
	return true, nil
}

// stale are the next customers behind the cursor, at most so many, that were made by another
// definition, and the last one looked at; that is empty if there are no more.
func (l *lane) stale(limit int) (ids []string, last string, err error) {
	looked := 0
	err = l.store.Walk(l.id, byte(mailbox.StateCustomer), []byte(l.defs.sweptTo), func(id, value []byte) (bool, error) {
		_, encoded, err := mailbox.DecodeCustomer(value)
		if err != nil {
			return false, err
		}
		version, err := lifecycle.VersionOf(encoded)
		if err != nil {
			return false, err
		}
		if version != l.made() {
			ids = append(ids, string(id))
		}
		looked++
		if len(ids) == limit || looked == limit*sweepLook {
			last = string(id)
		}
		return last == "", nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("look for customers of lane %d: %w", l.id.Lane, err)
	}
	return ids, last, nil
}

// swept ends the succession: nobody is left.
func (f *fold) swept(l *lane) {
	d := &l.defs
	for _, was := range d.former {
		f.note(l, mailbox.StateDefinition, definitionID(was.Version), nil)
	}
	d.former, d.left, d.sweptTo, d.since = nil, 0, "", instant.None
	d.lineage = lifecycle.NewLineage(l.model)
	f.log.Info("all customers have been brought over", zap.Int32("lane", l.id.Lane), zap.Int64("definition_version", l.made()))
}

// save puts the live definition into the changelog, if it is not there.
func (f *fold) save(l *lane) {
	if l.defs.saved {
		return
	}
	l.defs.saved = true
	source := l.model.Definition().Source
	f.note(l, mailbox.StateDefinition, definitionID(l.made()), f.out.bytes(func(dst []byte) []byte {
		return mailbox.AppendDefinition(dst, source)
	}))
}

// in writes it into the lane's record.
func (d *succession) in(r *mailbox.Lane, def *lifecycle.Model) {
	r.Version, r.Hash = def.Definition().Version, def.Definition().Hash
	r.Since, r.Former, r.Waiting, r.Left, r.SweptTo = 0, d.former, d.waiting, max(0, d.left), d.sweptTo
	if len(d.former) > 0 {
		r.Since = d.since
	}
}

// commit and rollback follow the lane's.
func (l *lane) commitDefinitions() {
	if !l.defs.committed { // what has waited for the local store until now may be of before
		l.defs.committed, l.defs.began = true, l.behind.now()
	}
	l.defsBefore = l.defs
}

func (l *lane) rollbackDefinitions() {
	l.defs = l.defsBefore
	if now := l.defs.lineage.Newest(); l.model != now {
		l.model = now
		l.totals.Redefine(now.Definition())
	}
}
