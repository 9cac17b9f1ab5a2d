// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"lapwing/schemas/explanation"
	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/schemas/record"
	"lapwing/stream/lifecycle"
)

// A question about a customer is answered by the loop that has its lane, between two
// transactions, when everything at hand is committed: with a copy of the state as it is
// encoded. What is made of it is made elsewhere.

// ErrNoCustomer says that no state is kept of the customer.
var ErrNoCustomer = errors.New("no customer of that id is known; ids are compared letter by letter")

// NotYet says that nobody can answer at the moment, and when to ask again.
type NotYet struct {
	Reason string
	Retry  time.Duration
}

func (e *NotYet) Error() string { return e.Reason }

// Elsewhere says that another process has the customer's lane.
type Elsewhere struct {
	Lane     int32
	Instance string // as in its configuration, or the name of its group member
	HTTP     string // host:port at which it says that others reach it; empty: it does not say
}

func (e *Elsewhere) Error() string {
	return fmt.Sprintf("lane %d, which holds the customer, is computed by instance %s", e.Lane, e.Instance)
}

const (
	// inquiryPatience is how long a loop may take to come to a question: a transaction
	// lasts at most commit_interval.max and as long as its end takes.
	inquiryPatience = 10 * time.Second
	// maxInquiries is how many questions may wait for one loop.
	maxInquiries = 256
	askAgain     = time.Second
)

// Explain says where a customer stands, as of the last commit, why, and until when. The
// error is ErrNoCustomer, *Elsewhere, *NotYet, or that of a damaged store. Safe for
// concurrent use, also while the worker does not run.
func (w *Worker) Explain(ctx context.Context, customer string) (*explanation.Explanation, error) {
	f, err := w.find(ctx, customer)
	if err != nil {
		return nil, err
	}
	s := new(lifecycle.State)
	if err := f.model.DecodeState(f.state, s); err != nil {
		return nil, fmt.Errorf("decode a customer of lane %d: %w", Home(customer, w.cfg.Lanes), err)
	}
	return f.model.Explain(s, customer, f.clock.Add(-f.model.Definition().Lateness)), nil
}

// Profile is a customer's profile as of the last commit; its errors are those of Explain.
func (w *Worker) Profile(ctx context.Context, customer string) (*record.Profile, error) {
	f, err := w.find(ctx, customer)
	if err != nil {
		return nil, err
	}
	s := new(lifecycle.State)
	if err := f.model.DecodeState(f.state, s); err != nil {
		return nil, fmt.Errorf("decode a customer of lane %d: %w", Home(customer, w.cfg.Lanes), err)
	}
	p := f.model.Profile(s, customer)
	return &p, nil
}

// found is one customer as of the last commit.
type found struct {
	state []byte
	model *lifecycle.Model
	clock instant.Instant // the lane's
	err   error
}

// inquiry is a question about one customer.
type inquiry struct {
	customer string
	lane     int32
	answer   chan found // has room for the one answer
}

func (w *Worker) find(ctx context.Context, customer string) (found, error) {
	if customer == "" {
		return found{}, ErrNoCustomer
	}
	ctx, cancel := context.WithTimeout(ctx, inquiryPatience)
	defer cancel()
	q := &inquiry{customer: customer, lane: Home(customer, w.cfg.Lanes), answer: make(chan found, 1)}
	taken, err := w.desk.hand(q)
	switch {
	case err != nil:
		return found{}, err
	case !taken:
		return found{}, w.desk.whereIs(ctx, q.lane)
	}
	select {
	case f := <-q.answer:
		return f, f.err
	case <-ctx.Done():
		return found{}, &NotYet{fmt.Sprintf("lane %d is at work and did not come to the question", q.lane), askAgain}
	}
}

// desk takes questions to the slots of a running worker. Safe for concurrent use.
type desk struct {
	mu    sync.Mutex
	slots []*slot
	locator
}

// open and close are called when the slots begin and end.
func (d *desk) open(slots []*slot) { d.mu.Lock(); d.slots = slots; d.mu.Unlock() }
func (d *desk) close()             { d.open(nil) }

// hand gives a question to the slot that has its lane; false if none has.
func (d *desk) hand(q *inquiry) (taken bool, err error) {
	d.mu.Lock()
	slots := d.slots
	d.mu.Unlock()
	if len(slots) == 0 {
		return false, &NotYet{"the worker does not run at the moment; /readyz says why", askAgain}
	}
	for _, s := range slots {
		if taken, err := s.inquire(q); taken || err != nil {
			return taken, err
		}
	}
	return false, nil
}

// inquire takes a question if the slot has its lane. Called beside the loop.
func (s *slot) inquire(q *inquiry) (taken bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.loading[q.lane] != nil, slices.ContainsFunc(s.restored, func(l *lane) bool { return l.id.Lane == q.lane }):
		return false, &NotYet{fmt.Sprintf("lane %d, which holds the customer, is being restored", q.lane), askAgain}
	case s.lanes[q.lane] == nil:
		return false, nil
	case len(s.inquiries) >= maxInquiries:
		return false, &NotYet{fmt.Sprintf("%d questions wait already", maxInquiries), askAgain}
	}
	s.inquiries = append(s.inquiries, q)
	s.wake()
	return true, nil
}

// inform answers what has been asked. Called by the loop between two transactions.
func (s *slot) inform(lanes map[int32]*lane) {
	s.mu.Lock()
	asked := s.inquiries
	s.inquiries = nil
	s.mu.Unlock()
	for _, q := range asked {
		if l := lanes[q.lane]; l != nil {
			q.answer <- l.lookUp(q.customer)
		} else {
			q.answer <- found{err: &NotYet{fmt.Sprintf("lane %d, which holds the customer, is moving to another instance", q.lane), askAgain}}
		}
	}
}

// lookUp is a customer as of the last commit; no transaction may be open.
func (l *lane) lookUp(customer string) found {
	if l.takeover != nil {
		return found{err: &NotYet{fmt.Sprintf("lane %d takes over from the generation before", l.id.Lane), askAgain}}
	}
	f := found{clock: l.watermark()}
	if c := l.cache.get([]byte(customer)); c != nil {
		if !c.stored {
			return found{err: ErrNoCustomer}
		}
		f.model = l.modelOf(c) // until it is brought over, by the definition before
		f.state = f.model.AppendState(nil, c.state)
		return f
	}
	value, stored, err := l.store.Get(l.id, byte(mailbox.StateCustomer), []byte(customer), nil)
	if err == nil && !stored {
		err = ErrNoCustomer
	}
	if err == nil {
		_, f.state, err = mailbox.DecodeCustomer(value)
	}
	if err == nil {
		var version int64
		if version, err = lifecycle.VersionOf(f.state); err == nil {
			f.model = l.defs.lineage.Model(version)
		}
	}
	if err == nil && f.model == nil {
		err = errors.New("its definition is not known")
	}
	if err != nil && !errors.Is(err, ErrNoCustomer) {
		err = fmt.Errorf("read a customer of lane %d: %w", l.id.Lane, err)
	}
	f.err = err
	return f
}
