// SPDX-License-Identifier: Apache-2.0

package generate

import (
	"context"
	"errors"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// portion is how many customers are lived at a time by one goroutine.
const portion = 256

// Line is one line of the base, valid until the function it is passed to returns.
type Line struct {
	Text    []byte          // JSON, ended by a line feed
	Arrival instant.Instant // when it comes: never before the line before it
	Time    instant.Instant // when it happened
	Key     string          // of whom it is, as a producer would partition it
}

// Progress is how far Each is: customers whose lives are known, then lines that were
// passed on. Total is 0 until it is known.
type Progress struct{ Customers, Lines, TotalLines int64 }

// Each lives the lives of all customers and passes the lines on in order of arrival, from
// one goroutine. Memory is bounded: what does not fit is sorted in a temporary file.
// progress, if not nil, is called now and then, never by two at once.
func (w *World) Each(ctx context.Context, line func(*Line) error, progress func(Progress)) (truth *Truth, err error) {
	if progress == nil {
		progress = func(Progress) {}
	}
	s := newSpill(w)
	defer func() { err = errors.Join(err, s.close()) }()
	total, err := w.liveAll(ctx, s, progress)
	if err != nil {
		return nil, err
	}
	if err := w.tellAll(ctx, s, line, progress); err != nil {
		return nil, err
	}
	return w.truth(total, s.messages), nil
}

// Records lives the lives of all customers without a line of text, and passes on what the
// fold says of campaigns: assignments and conversions, a customer's in order, from one
// goroutine. A record is valid until the function returns.
func (w *World) Records(each func(*record.Record) error) (*Truth, error) {
	keeping := *w
	keeping.keepRecords = true
	c := keeping.newCustomer()
	for n := range w.settings.Customers {
		c.live(uint32(n))
		c.finish()
		for i := range c.records {
			if err := each(&c.records[i]); err != nil {
				return nil, err
			}
		}
	}
	return w.truth(c.tally, 0), nil
}

// newCustomer is somebody to be lived by one goroutine.
func (w *World) newCustomer() *customer {
	return &customer{
		w: w, random: newRandom(), tally: tally{}, enrolments: map[int]*enrolment{},
		decoder: event.NewDecoder(w.model.Projection(), event.DefaultLimits()),
	}
}

// liveAll lives all customers, on all processors, and collects what they did.
func (w *World) liveAll(ctx context.Context, s *spill, progress func(Progress)) (tally, error) {
	group, living := errgroup.WithContext(ctx)
	var mu sync.Mutex // of the spill, next, done, total
	next, done := 0, int64(0)
	total := tally{}
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() error {
			c := w.newCustomer()
			var lived []message
			for {
				if living.Err() != nil {
					return context.Cause(living)
				}
				mu.Lock()
				first := next
				next = min(first+portion, w.settings.Customers)
				last := next
				mu.Unlock()
				if first == last {
					break
				}
				lived = lived[:0]
				for n := first; n < last; n++ {
					c.live(uint32(n))
					lived = append(lived, c.emitted...)
				}
				mu.Lock()
				for i := range lived {
					if err := s.put(&lived[i]); err != nil {
						mu.Unlock()
						return err
					}
				}
				done += int64(last - first)
				progress(Progress{Customers: done})
				mu.Unlock()
			}
			mu.Lock()
			total.merge(c.tally)
			mu.Unlock()
			return nil
		})
	}
	return total, group.Wait()
}

// told is one bucket as text.
type told struct {
	text  []byte
	lines []lineAt
	err   error
}

type lineAt struct {
	end         int
	arrival, at int64
	key         string
}

// tellAll writes the buckets as text, on all processors, and passes the lines on in order.
func (w *World) tellAll(ctx context.Context, s *spill, line func(*Line) error, progress func(Progress)) error {
	group, telling := errgroup.WithContext(ctx)
	ahead := runtime.GOMAXPROCS(0) + 1
	results := make(chan chan *told, ahead) // in order; closed by the one who hands out
	spare := make(chan *told, ahead+1)
	turns := make(chan struct{}, runtime.GOMAXPROCS(0))
	group.Go(func() error {
		defer close(results)
		for i := range s.open {
			result := make(chan *told, 1)
			select {
			case results <- result:
			case <-telling.Done():
				return context.Cause(telling)
			}
			group.Go(func() error {
				select {
				case turns <- struct{}{}:
					defer func() { <-turns }()
				case <-telling.Done():
					return context.Cause(telling)
				}
				t := &told{}
				select {
				case t = <-spare:
				default:
				}
				t.err = w.tell(s, i, t)
				result <- t
				return nil
			})
		}
		return nil
	})
	group.Go(func() error {
		lines := int64(0)
		var one Line
		for result := range results {
			var t *told
			select {
			case t = <-result:
			case <-telling.Done():
				return context.Cause(telling)
			}
			if t.err != nil {
				return t.err
			}
			begin := 0
			for i := range t.lines {
				l := &t.lines[i]
				one = Line{Text: t.text[begin:l.end], Arrival: instant.Instant(l.arrival), Time: instant.Instant(l.at), Key: l.key}
				if err := line(&one); err != nil {
					return err
				}
				begin = l.end
			}
			lines += int64(len(t.lines))
			progress(Progress{Customers: int64(w.settings.Customers), Lines: lines, TotalLines: s.messages})
			select {
			case spare <- t:
			default:
			}
		}
		return nil
	})
	return group.Wait()
}

// tell makes the text of one bucket.
func (w *World) tell(s *spill, bucket int, t *told) error {
	messages, err := s.bucket(bucket, nil)
	if err != nil {
		return err
	}
	t.text, t.lines = t.text[:0], t.lines[:0]
	for i := range messages {
		m := &messages[i]
		p := w.persona(m.customer)
		t.text = append(w.text(t.text, &p, m), '\n')
		key := p.user
		if m.flags&anonymous != 0 {
			key = p.anonymous
		}
		t.lines = append(t.lines, lineAt{end: len(t.text), arrival: m.arrival, at: m.at, key: key})
	}
	return nil
}
