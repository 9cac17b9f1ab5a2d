// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A state written by any earlier version is read for ever, field by field as it was
// written: testdata/state/everything.txt was printed by the version that wrote format
// 1, from its memory.
func TestStatesOfEveryFormatAreRead(t *testing.T) {
	m := everything(t)
	want := string(golden(t, "everything.txt"))
	newest := golden(t, fmt.Sprintf("everything.format%d", stateFormat))
	for format := 1; format <= stateFormat; format++ {
		t.Run(fmt.Sprint("format ", format), func(t *testing.T) {
			b := golden(t, fmt.Sprintf("everything.format%d", format))
			if b[0] != byte(format) {
				t.Fatalf("the file's format is %d", b[0])
			}
			var s, again State
			if err := m.DecodeState(b, &s); err != nil {
				t.Fatal(err)
			}
			if got := describe(m, &s); got != want {
				t.Fatalf("%s", firstDifference(got, want))
			}
			b = m.AppendState(nil, &s)
			if !bytes.Equal(b, newest) {
				t.Errorf("written again it is not what format %d's file holds", stateFormat)
			}
			if err := m.DecodeState(b, &again); err != nil {
				t.Fatal(err)
			}
			if got := describe(m, &again); got != want {
				t.Fatalf("written again and read: %s", firstDifference(got, want))
			}
		})
	}
	t.Logf("bytes by format: %d, %d", len(golden(t, "everything.format1")), len(newest))
}

// Format 3 brought the texts of favourites, in series and in what waits.
func TestStateWithTextsIsRead(t *testing.T) {
	m := compiled(t, golden(t, "favourites.yaml"))
	want, b := string(golden(t, "favourites.txt")), golden(t, "favourites.format3")
	var s State
	if err := m.DecodeState(b, &s); err != nil {
		t.Fatal(err)
	}
	if got := describe(m, &s); got != want {
		t.Fatalf("%s", firstDifference(got, want))
	}
	if stateFormat == 3 && !bytes.Equal(m.AppendState(nil, &s), b) {
		t.Error("written again it is other bytes")
	}
}

// Format 4 brought sessions, and in what waits exposures and platforms.
func TestStateWithSessionsIsRead(t *testing.T) {
	m := compiled(t, golden(t, "sessions.yaml"))
	b := golden(t, "sessions.format4")
	var s State
	if err := m.DecodeState(b, &s); err != nil {
		t.Fatal(err)
	}
	if got, want := describe(m, &s), string(golden(t, "sessions.txt")); got != want {
		t.Fatalf("%s", firstDifference(got, want))
	}
	if stateFormat == 4 && !bytes.Equal(m.AppendState(nil, &s), b) {
		t.Error("written again it is other bytes")
	}
}

// Format 4 brought parts in campaigns, and campaigns in what is no more.
func TestStateWithCampaignsIsRead(t *testing.T) {
	m := compiled(t, golden(t, "campaigns.yaml"))
	want, b := string(golden(t, "campaigns.txt")), golden(t, "campaigns.format4")
	var s State
	if err := m.DecodeState(b, &s); err != nil {
		t.Fatal(err)
	}
	if got := describe(m, &s); got != want {
		t.Fatalf("%s", firstDifference(got, want))
	}
	if stateFormat == 4 && !bytes.Equal(m.AppendState(nil, &s), b) {
		t.Error("written again it is other bytes")
	}
}

// A state of a version not yet known is refused, and the error says which it is: an
// older Lapwing must not run on what a newer one has written.
func TestStateOfALaterFormatIsRefused(t *testing.T) {
	m := everything(t)
	for _, format := range []byte{0, stateFormat + 1, 0xff} {
		b := bytes.Clone(golden(t, fmt.Sprintf("everything.format%d", stateFormat)))
		b[0] = format
		var s State
		err := m.DecodeState(b, &s)
		if !errors.Is(err, ErrState) || !strings.Contains(err.Error(), fmt.Sprintf("its format is %d,", format)) {
			t.Errorf("format %d: error %v, want an ErrState that names it", format, err)
		}
	}
}

func golden(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "state", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d is\n%s\nwant\n%s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

// describe prints every field that means something.
func describe(m *Model, s *State) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("begun %v, known %v", s.begun, s.known)
	p("clock %d, newest %d, frontier %d, deadline %s", s.clock, s.newest, s.frontier, orNone(s.deadline))
	if s.visited {
		p("session from %d to %d", s.visit.start, s.visit.last)
		for _, i := range m.modelRules {
			p("  %s was %d", m.rules[i].name, s.rules[i].atVisit)
		}
	}
	if s.past != nil {
		p("past session from %d to %d", s.past.start, s.past.last)
		for _, i := range m.modelRules {
			p("  %s was %d", m.rules[i].name, s.past.stages[i])
		}
	}
	for _, r := range s.remembered {
		p("remembered %016x at %d", r.hash, r.at)
	}
	p("forgotten %d", s.forgotten)
	for i := range s.series {
		describeSeries(p, m.events[i], s.of(m.events[i]))
	}
	for _, t := range s.traits {
		p("trait %s = %s at %d", t.name, t.raw, t.at)
	}
	for i := range s.rules {
		r := &s.rules[i]
		by := byValue{}
		if r.by != nil {
			by = *r.by
		}
		if r.stage != inSegment {
			by.value = ""
		}
		p("rule %s: stage %d since %d sequence %d deadline %s by %q", m.rules[i].name, r.stage, r.since, r.sequence, orNone(r.deadline), by.value)
		for _, v := range by.sequences {
			p("  by %q sequence %d", v.value, v.sequence)
		}
	}
	for i, e := range s.campaigns {
		if e != nil {
			describeEnrolment(p, &m.rules[m.campaigns[i]], e)
		}
	}
	for _, r := range s.retired {
		p("retired %d %s sequence %d last %d variant %q holdout %v", r.kind, r.name, r.sequence, r.last, r.variant, r.holdout)
	}
	for i := range s.held {
		in := &s.held[i]
		p("held %d id %q kind %q event %q known %v traits %q group %q currency %q products %q", in.at, in.messageID, in.kind, in.event, in.known, in.traits, in.group, in.currency, in.products)
		for _, c := range in.counted {
			p("  counts as %s value %d key %q %016x props %x", m.events[c.event].name, c.value, c.key, c.keyHash, c.props)
			for _, t := range c.texts {
				p("    text %q given %v", t.text, t.given)
			}
		}
		for _, e := range in.exposures {
			p("  tells of %q %s %s machine %v", e.Campaign, e.Channel, e.Step, e.Machine)
		}
		if in.platform != platformUnknown {
			p("  from %s", in.platform)
		}
		for _, a := range in.assigned {
			p("  assigns in %d variant %q holdout %v", a.campaign, a.variant, a.holdout)
		}
		for _, r := range in.refunds {
			p("  refunds %s key %q %016x value %d full %v", m.events[r.event].name, r.key, r.keyHash, r.value, r.full)
		}
	}
	return b.String()
}

func describeEnrolment(p func(string, ...any), r *rule, e *enrolment) {
	p("campaign %s: variant %q holdout %v last %d due %s", r.name, e.variant, e.holdout, e.last, orNone(e.due))
	for i, g := range e.goals {
		p("  goal %s: sequence %d holds %v", r.campaign.goals[i].name, g.sequence, g.holds)
	}
	for i := range e.rounds {
		rd := &e.rounds[i]
		p("  round %d at %d in %v %q", rd.number, rd.at, rd.place.stages, rd.place.segments)
		for k, g := range rd.goals {
			p("    %s: done %v", r.campaign.goals[k].name, g.done)
			if o := g.outcome; o != nil {
				p("      %d come to %d:%d, told %v %d", o.n, int64(o.net.hi), o.net.lo, o.told, o.value)
			}
		}
	}
}

func describeSeries(p func(string, ...any), e *eventDef, s *series) {
	p("event %s: total %d, dropped %d", e.name, s.total(e), s.dropped())
	if s.total(e) > 0 {
		p("  first %d, last %d, edge %s", s.first(), s.last(e), orNone(s.edge()))
	}
	for i := range s.size(e) {
		row := s.rows[i*e.width:]
		line := fmt.Sprintf("  at %d", row[0])
		if e.needsValues {
			line += fmt.Sprintf(" value %d", row[1])
		}
		if e.needsKeys {
			line += fmt.Sprintf(" key %016x", uint64(row[e.keyAt]))
		}
		for k := range e.props {
			line += fmt.Sprintf(" %s %016x", e.props[k].name, uint64(row[e.propsAt+k]))
		}
		p("%s", line)
	}
	if s.tally != nil {
		for i, residue := range e.residues {
			for _, h := range s.tally.hours[i] {
				p("  hour %d+%d: %d", h.hour, residue, h.count)
			}
		}
	}
	if s.texts != nil {
		for slot, known := range *s.texts {
			for _, k := range known {
				p("  text %d %016x %q last %d", slot, k.hash, k.text, k.last)
			}
		}
	}
	if s.keys == nil {
		return
	}
	for _, hash := range s.keys.read {
		p("  key %016x", uint64(hash))
	}
	if s.keys.refunds == nil {
		return
	}
	for _, k := range s.keys.refunds.orders {
		p("  order %016x at %d value %d refunded %d full %v applied %v", k.hash, k.at, k.value, k.refunded, k.full, k.applied)
		if k.late > 0 {
			p("    late by %d", k.late)
		}
	}
	for _, k := range s.keys.refunds.early {
		p("  early %016x refunded %d full %v", k.hash, k.refunded, k.full)
	}
}

func orNone(at int64) string {
	if at == never || at == math.MinInt64 {
		return "none"
	}
	return fmt.Sprint(at)
}
