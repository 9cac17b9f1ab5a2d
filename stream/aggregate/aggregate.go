// SPDX-License-Identifier: Apache-2.0

// Package aggregate is pure: it folds what happened in one lane into absolute counts
// and sums per period: of events by the stage just before, of sessions begun and of events
// by the stage just before the session, and of changes of stage.
//
//	t := aggregate.New(def, lane)
//	t.Add(&activity)          // an accepted event and what it counted as
//	t.AddTransition(&record)  // a stage change
//	for _, a := range t.Changed() { … } // what changed since the last call
//
// Values are absolute, never deltas: a repeated record changes no total. A worker
// brackets its transactions with Commit and Rollback. A period closes once it lies
// the definition's close_after behind the clock given to Close; without a clock (a replay)
// none does. What lies further back is counted as too late, whatever the grain of the
// period, so that the grains agree with each other.
// A Totals belongs to one goroutine at a time.
package aggregate

import (
	"slices"
	"strings"
	"time"

	"lapwing/schemas/decimal"
	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// sweepEvery is how far the closing instant must move before hours are looked
// through for those to drop: looking costs the number of hours kept.
const sweepEvery = 24 * time.Hour

// grains in the order of cell.grain.
var grains = [...]record.Grain{record.Hour, record.Day, record.Week, record.Month}

// dims is what a total is kept by, beside its period.
type dims struct {
	measure      record.Measure
	event        string
	model, stage string
	from, to     string
	cause        record.CauseType
	segment      string
	platform     string
}

// series is the totals of one dims. last holds the cell used last per grain: events
// come roughly in time order, so it is nearly always the one wanted.
type series struct {
	dims dims
	last [len(grains)]*cell
}

type cellKey struct {
	series *series
	grain  uint8
	period instant.Instant
}

type value struct {
	count   int64
	sum     decimal.Decimal
	squares decimal.Squares // of the occurrences' values
}

type cell struct {
	cellKey
	value
	committed value // as of the last Commit; meant while touched
	touched   bool
}

// Totals are the totals of one lane.
type Totals struct {
	definition string
	models     []string
	by         []string // segments to count by, as given
	lane       int32
	zone       *time.Location
	closeAfter time.Duration

	series  map[dims]*series
	values  map[string]int      // of segments with one segment per value: how many are counted by
	known   map[string]bool     // those
	places  map[groupKey]*group // what is found without comparing all of dims
	cells   map[cellKey]*cell
	periods map[instant.Instant][len(grains)]instant.Instant // of each quarter of an hour seen

	touched []*cell
	dropped []*cell // hours that leave at the next Commit

	now, committed meta
}

type meta struct {
	settled     instant.Instant // the clock given to Close last
	closedUntil instant.Instant
	sweptAt     instant.Instant
	tooLate     int64
}

// New is a lane without totals. Of def the name, the models' names, the zone and
// aggregates are used.
func New(def *definition.Definition, lane int32) *Totals {
	zone := def.Zone
	if zone == nil {
		zone = time.UTC
	}
	none := meta{settled: instant.None, closedUntil: instant.None, sweptAt: instant.None}
	closeAfter := def.Aggregates.CloseAfter
	if closeAfter == 0 {
		closeAfter = definition.DefaultCloseAfter
	}
	var by []string
	for _, segment := range def.Aggregates.By {
		by = append(by, segment.Value)
	}
	models := make([]string, len(def.Models))
	for i := range def.Models {
		models[i] = def.Models[i].Name.Value
	}
	return &Totals{
		definition: def.Name.Value, models: models, by: by, lane: lane, zone: zone, closeAfter: closeAfter,
		series:  map[dims]*series{},
		values:  map[string]int{},
		known:   map[string]bool{},
		places:  map[groupKey]*group{},
		cells:   map[cellKey]*cell{},
		periods: map[instant.Instant][len(grains)]instant.Instant{},
		now:     none, committed: none,
	}
}

// Redefine goes on under another definition: what is counted from now on is counted by
// its models, in the periods of its zone. What has been counted stays.
func (t *Totals) Redefine(def *definition.Definition) {
	other := New(def, t.lane)
	t.definition, t.models, t.by, t.closeAfter = other.definition, other.models, other.by, other.closeAfter
	clear(t.places)
	if t.zone.String() != other.zone.String() {
		t.zone = other.zone
		clear(t.periods)
	}
}

// Add counts each occurrence of a at its own time: once for all customers, once per model
// by the stage held just before, and once per segment held just before of those to count
// by; and again by the stages just before the session. A refund counts nothing and takes
// its value off, at the time of what it refunds. A session that begins is counted
// likewise. a is not kept.
func (t *Totals) Add(a *record.Activity) {
	for i := range a.Occurrence {
		o := &a.Occurrence[i]
		if t.late(o.At, dims{event: o.Event}) {
			continue
		}
		v := valueOf(o)
		if v == (value{}) {
			continue
		}
		periods := t.periodsOf(o.At)
		t.addPlaces(groupKey{record.MeasureEvent, o.Event, ""}, periods, v, a.Stages, a.Segments)
		t.addPlaces(groupKey{record.MeasureSessionEvent, o.Event, a.Platform}, periods, v, a.SessionStages, nil)
	}
	if a.SessionBegins && !t.late(a.SessionStart, dims{}) {
		t.addPlaces(groupKey{record.MeasureSession, "", a.Platform}, t.periodsOf(a.SessionStart), value{count: 1}, a.SessionStages, a.Segments)
	}
}

// valueOf is what an occurrence adds to its totals.
func valueOf(o *record.Occurrence) value {
	v := value{count: 1}
	if o.Refund {
		v.count = 0
	}
	if !o.HasValue {
		return v
	}
	v.sum = o.Value
	if !o.Refund {
		v.squares = decimal.SquareOf(o.Value)
		return v
	}
	if after, ok := decimal.Add(o.Before, o.Value); ok {
		v.squares = decimal.SquareOf(after).Sub(decimal.SquareOf(o.Before))
	}
	return v
}

// stageIn is the stage held in a model; empty before the customer's first evaluation.
func stageIn(stages []record.StageAt, model string) string {
	for i := range stages {
		if stages[i].Model == model {
			return stages[i].Stage
		}
	}
	return ""
}

// AddTransition counts a stage change at its effective_at; other kinds are not
// counted. One that comes after its period had closed is counted as too late, and stands
// in the first period that has not: how many customers are in a stage is the sum of all
// that entered less all that left, and must stay right. r is not kept.
func (t *Totals) AddTransition(r *record.Record) {
	if r.Kind != record.StageChange {
		return
	}
	at := r.EffectiveAt
	if t.late(at, dims{model: r.Model}) {
		at = t.now.closedUntil
	}
	d := dims{measure: record.MeasureTransition, model: r.Model, from: r.From, to: r.To, cause: r.Cause.Type}
	t.add(t.find(d), 0, t.periodsOf(at), value{count: 1})
}

// late reports whether the period of an instant has closed, and counts it by day, week
// and month as what d says.
func (t *Totals) late(at instant.Instant, d dims) bool {
	if at >= t.now.closedUntil { // None is less than every instant
		return false
	}
	t.now.tooLate++
	d.measure = record.MeasureTooLate
	t.add(t.find(d), 1, t.periodsOf(at), value{count: 1})
	return true
}

// add adds v in the periods of the grains from one on.
func (t *Totals) add(s *series, from int, periods [len(grains)]instant.Instant, v value) {
	for g := from; g < len(grains); g++ {
		period := periods[g]
		c := s.last[g]
		if c == nil || c.period != period {
			c = t.cell(cellKey{s, uint8(g), period})
			s.last[g] = c
		}
		if !c.touched {
			c.touched, c.committed = true, c.value
			t.touched = append(t.touched, c)
		}
		c.count += v.count
		c.squares = c.squares.Add(v.squares)
		// A sum beyond what a decimal can hold (10^14) stays at the bound.
		if sum, ok := decimal.Add(c.sum, v.sum); ok {
			c.sum = sum
		} else {
			c.sum = max(min(sum, decimal.Limit-1), -decimal.Limit+1)
		}
	}
}

// find is the series of d, made if there is none.
func (t *Totals) find(d dims) *series {
	if s := t.series[d]; s != nil {
		return s
	}
	return t.newSeries(d)
}

// newSeries copies d's texts: they may be views of a batch that is about to go.
func (t *Totals) newSeries(d dims) *series {
	for _, text := range [...]*string{&d.event, &d.model, &d.stage, &d.from, &d.to, &d.segment, &d.platform} {
		*text = strings.Clone(*text)
	}
	d.measure, d.cause = record.Measure(strings.Clone(string(d.measure))), record.CauseType(strings.Clone(string(d.cause)))
	if name, _, of := strings.Cut(d.segment, "="); of && !t.known[d.segment] {
		t.known[d.segment] = true
		t.values[name]++
	}
	s := &series{dims: d}
	t.series[d] = s
	return s
}

func (t *Totals) cell(k cellKey) *cell {
	c := t.cells[k]
	if c == nil {
		c = &cell{cellKey: k}
		t.cells[k] = c
	}
	return c
}

// Changed are the totals that changed since the last call, as they now stand,
// ordered by measure, grain, period and dimensions. It commits.
func (t *Totals) Changed() []record.Aggregate {
	var changed []record.Aggregate
	t.Each(func(a *record.Aggregate, _, _ []byte) { changed = append(changed, *a) })
	t.Commit()
	return changed
}

// Each calls fn with every total changed since the last Commit, in Changed's order,
// with its key and value for the changelog. These are valid only during the call.
func (t *Totals) Each(fn func(a *record.Aggregate, key, value []byte)) {
	slices.SortFunc(t.touched, compareCells)
	var key, val []byte
	for _, c := range t.touched {
		key, val = appendKey(key[:0], c), appendValue(val[:0], c.value)
		a := t.aggregate(c)
		fn(&a, key, val)
	}
}

// EachDropped calls fn with the changelog key of every hour that is no longer kept.
func (t *Totals) EachDropped(fn func(key []byte)) {
	var key []byte
	for _, c := range t.dropped {
		key = appendKey(key[:0], c)
		fn(key)
	}
}

func (t *Totals) aggregate(c *cell) record.Aggregate {
	d := &c.series.dims
	return record.Aggregate{
		Definition: t.definition, Lane: t.lane,
		Measure: d.measure, Grain: grains[c.grain], Period: c.period,
		Event: d.event, Model: d.model, Stage: d.stage, From: d.from, To: d.to, Cause: d.cause, Segment: d.segment, Platform: d.platform,
		Count: c.count, Sum: c.sum, SumSquares: c.squares,
	}
}

// Commit makes what happened since the last Commit final.
func (t *Totals) Commit() {
	for _, c := range t.touched {
		c.touched = false
	}
	t.touched = t.touched[:0]
	for _, c := range t.dropped {
		delete(t.cells, c.cellKey)
		if c.series.last[c.grain] == c {
			c.series.last[c.grain] = nil
		}
	}
	t.dropped = nil
	t.committed = t.now
}

// Rollback takes back what happened since the last Commit.
func (t *Totals) Rollback() {
	for _, c := range t.touched {
		c.touched, c.value = false, c.committed
		if c.value == (value{}) { // it did not exist
			delete(t.cells, c.cellKey)
			if c.series.last[c.grain] == c {
				c.series.last[c.grain] = nil
			}
		}
	}
	t.touched = t.touched[:0]
	t.dropped = nil
	t.now = t.committed
}

// Close says where the clock stands, after every deadline up to it has fired: what
// lies close_after behind it is closed, and hours that end there are dropped.
func (t *Totals) Close(clock instant.Instant) {
	if clock == instant.None {
		return
	}
	t.now.settled = max(t.now.settled, clock)
	until := clock.Add(-t.closeAfter)
	if until <= t.now.closedUntil {
		return
	}
	t.now.closedUntil = until
	if t.now.sweptAt != instant.None && until < t.now.sweptAt.Add(sweepEvery) {
		return
	}
	t.now.sweptAt = until
	t.dropped = t.dropped[:0]
	for _, c := range t.cells {
		if c.grain == 0 && c.period.Add(time.Hour) <= until && !c.touched {
			t.dropped = append(t.dropped, c)
		}
	}
	slices.SortFunc(t.dropped, compareCells)
	for at := range t.periods {
		if at < until {
			delete(t.periods, at)
		}
	}
}

// ClosedUntil is the instant before which totals no longer change; instant.None if none is closed.
func (t *Totals) ClosedUntil() instant.Instant { return t.now.closedUntil }

// Settled is the clock given to Close last; instant.None before.
func (t *Totals) Settled() instant.Instant { return t.now.settled }

// TooLate is how many occurrences, sessions and changes came after their period had closed.
func (t *Totals) TooLate() int64 { return t.now.tooLate }
