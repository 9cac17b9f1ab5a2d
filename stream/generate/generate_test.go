// SPDX-License-Identifier: Apache-2.0

package generate

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"lapwing/schemas/definition"
	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/presets"
	"lapwing/stream/lifecycle"
)

// small is a base that takes a moment to make.
func small(preset string) Settings {
	s := DefaultSettings()
	s.Preset, s.Customers, s.Days = preset, 300, 120
	return s
}

func made(t *testing.T, s Settings) (*World, *Truth, []Line) {
	t.Helper()
	w, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	var lines []Line
	truth, err := w.Each(t.Context(), func(l *Line) error {
		kept := *l
		kept.Text = bytes.Clone(l.Text)
		lines = append(lines, kept)
		return nil
	}, nil)
	if err != nil {
		t.Fatalf("%+v: %v", s, err)
	}
	return w, truth, lines
}

func text(lines []Line) []byte {
	var all []byte
	for i := range lines {
		all = append(all, lines[i].Text...)
	}
	return all
}

// The same settings give the same bytes, on one processor and on several, whether all fits
// into memory or most goes through a file; another seed gives others.
func TestTheSameSettingsGiveTheSameBytes(t *testing.T) {
	s := small("e-commerce")
	_, _, lines := made(t, s)
	want := text(lines)
	if len(lines) < 3000 {
		t.Fatalf("only %d lines", len(lines))
	}
	before := runtime.GOMAXPROCS(1)
	_, _, lines = made(t, s)
	runtime.GOMAXPROCS(before)
	if !bytes.Equal(text(lines), want) {
		t.Error("on one processor it is another base")
	}
	w, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	w.keptBytes, w.blockBytes = 1<<10, 8*wireBytes
	var got []byte
	if _, err := w.Each(t.Context(), func(l *Line) error { got = append(got, l.Text...); return nil }, nil); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("through a file it is another base")
	}
	s.Seed++
	if _, _, lines = made(t, s); bytes.Equal(text(lines), want) {
		t.Error("another seed gives the same base")
	}
}

// Lines come in order of arrival, lie between start and end, are late by no more than was
// asked for, and can be used, but for those that are bad on purpose. What comes late, twice
// or broken is about as much as was asked for.
func TestLinesAreAsTheSettingsSay(t *testing.T) {
	for _, preset := range Presets() {
		s := small(preset)
		s.Late, s.Lateness, s.Duplicates, s.Bad = 0.1, 2*time.Hour, 0.05, 0.03
		w, truth, lines := made(t, s)
		decoder := event.NewDecoder(event.NewProjection(), event.DefaultLimits())
		var m event.Message
		late, bad, duplicates := 0, 0, 0
		seen := map[string]bool{}
		last := instant.None
		for i := range lines {
			l := &lines[i]
			if l.Arrival < last {
				t.Fatalf("%s: line %d arrives at %s, after one of %s", preset, i+1, l.Arrival, last)
			}
			last = l.Arrival
			if cause := decoder.Decode(bytes.TrimSuffix(l.Text, []byte("\n")), instant.None, &m); cause != "" {
				bad++
				continue
			}
			if m.Time != l.Time || string(m.Customer) != l.Key {
				t.Fatalf("%s: line %d is of %s at %s, its message says %s at %s", preset, i+1, l.Key, l.Time, m.Customer, m.Time)
			}
			if l.Time < s.Start || l.Time >= w.End() || l.Arrival < l.Time || l.Arrival > l.Time.Add(s.Lateness) {
				t.Fatalf("%s: line %d: %s, arrived at %s", preset, i+1, l.Time, l.Arrival)
			}
			id := string(m.MessageID)
			switch {
			case seen[id]:
				duplicates++
			case l.Arrival > l.Time:
				late++
			}
			seen[id] = true
		}
		n := float64(len(seen))
		for _, c := range []struct {
			what      string
			got       int
			want, off float64
		}{{"late", late, 0.1 * n, 0.3}, {"twice", duplicates, 0.05 * n, 0.3}, {"bad", bad, 0.03 * n, 0.4}} {
			if float64(c.got) < c.want*(1-c.off) || float64(c.got) > c.want*(1+c.off) {
				t.Errorf("%s: of %d messages %d come %s, want about %.0f", preset, len(seen), c.got, c.what, c.want)
			}
		}
		if truth.Lines != int64(len(lines)) {
			t.Errorf("%s: the truth says %d lines, there are %d", preset, truth.Lines, len(lines))
		}
	}
}

// Every event that a preset names occurs, and so do strangers who become known.
func TestEveryEventOfThePresetsOccurs(t *testing.T) {
	for _, preset := range Presets() {
		s := small(preset)
		s.Customers, s.Days = 700, 240
		w, _, lines := made(t, s)
		model := compile(t, w.Definition())
		decoder := event.NewDecoder(model.Projection(), event.DefaultLimits())
		var m event.Message
		missing := map[string]bool{}
		for i := range model.Definition().Events {
			if e := &model.Definition().Events[i]; e.From.IsZero() { // a derived one is of its source
				missing[e.Name.Value] = true
			}
		}
		var out lifecycle.Output
		out.WantActivity = lifecycle.WantCounted
		states := map[string]*lifecycle.State{}
		strangers := 0
		for i := range lines {
			if cause := decoder.Decode(lines[i].Text, instant.None, &m); cause != "" {
				t.Fatalf("%s: %s is %s", preset, lines[i].Text, cause)
			}
			if m.UserID == nil {
				strangers++
			}
			state := states[lines[i].Key]
			if state == nil {
				state = &lifecycle.State{}
				states[lines[i].Key] = state
			}
			model.Accept(state, lines[i].Key, &m, m.Time, &out)
			model.Advance(state, lines[i].Key, m.Time.Add(s.Lateness), m.Time, &out)
			for j := range out.Activity {
				for k := range out.Activity[j].Occurrence {
					delete(missing, out.Activity[j].Occurrence[k].Event)
				}
			}
			out.Reset()
		}
		for name := range missing {
			t.Errorf("%s: no %s among %d lines", preset, name, len(lines))
		}
		if strangers == 0 || strangers > len(lines)/2 {
			t.Errorf("%s: %d of %d lines are of strangers", preset, strangers, len(lines))
		}
	}
}

func compile(t *testing.T, source []byte) *lifecycle.Model {
	t.Helper()
	def, problems := definition.Parse("base.yaml", source)
	if def == nil {
		t.Fatal(problems)
	}
	model, problems := lifecycle.Compile(def)
	if model == nil {
		t.Fatal(problems)
	}
	return model
}

// All that is wrong with the settings is said, each with what would be right.
func TestSettingsAreRefused(t *testing.T) {
	for _, c := range []struct {
		change func(*Settings)
		want   string
	}{
		{func(s *Settings) { s.Preset = "messaging" }, `preset "messaging": there is nothing to generate for it; there is for customer-value, e-commerce`},
		{func(s *Settings) { s.Customers = 0 }, "customers 0: want 1 to 10000000"},
		{func(s *Settings) { s.Customers = MaxCustomers + 1 }, "customers 10000001"},
		{func(s *Settings) { s.Days = 0 }, "days 0: want 1 to 3660"},
		{func(s *Settings) { s.Start = instant.Max - 1 }, "so must be the end"},
		{func(s *Settings) { s.Late = -0.1 }, "late -0.1: want a share from 0 to 1"},
		{func(s *Settings) { s.Duplicates = 1.1 }, "duplicates 1.1"},
		{func(s *Settings) { s.Bad = 2 }, "bad 2"},
		{func(s *Settings) { s.Lateness = 25 * time.Hour }, "lateness 25h0m0s: want 0 to 24h"},
		{func(s *Settings) { s.Lateness = 0 }, "late 0.01: messages cannot be late by up to 0s"},
		{func(s *Settings) { s.Days, s.Customers = -1, -1 }, "customers -1: want 1 to 10000000\ndays -1: want 1 to 3660"},
	} {
		s := DefaultSettings()
		c.change(&s)
		if _, err := New(s); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", s, err, c.want)
		}
	}
}

// An error of who takes the lines, and the end of the context, end the work and leave no
// file behind.
func TestEachEnds(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	w, err := New(small("media"))
	if err != nil {
		t.Fatal(err)
	}
	w.keptBytes, w.blockBytes = 0, wireBytes
	full := fmt.Errorf("the disk is full")
	n := 0
	if _, err := w.Each(t.Context(), func(*Line) error {
		if n++; n == 1000 {
			return full
		}
		return nil
	}, nil); err == nil || !strings.Contains(err.Error(), full.Error()) || n != 1000 {
		t.Errorf("after %d lines: %v", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := w.Each(ctx, func(*Line) error { cancel(); return nil }, nil); err == nil {
		t.Error("a context that has ended did not end it")
	}
	if left := filesIn(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Every preset that ships with campaigns has something to generate, and the other way round.
func TestPresetsWithCampaignsAreThoseToGenerateFor(t *testing.T) {
	for _, name := range presets.Names() {
		if got, want := businessOf(name) != nil, presets.HasCampaigns(name); got != want {
			t.Errorf("%s: something to generate: %v, campaigns: %v", name, got, want)
		}
	}
}
