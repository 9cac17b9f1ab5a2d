// SPDX-License-Identifier: Apache-2.0

package generate

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/presets"
	"lapwing/stream/lifecycle"
)

// Settings are what a base is made from. The same settings give the same bytes.
type Settings struct {
	Preset    string
	Customers int
	Days      int
	Seed      uint64
	Start     instant.Instant
	// Late is the share of messages that arrive late, by up to Lateness, which the
	// definition waits for: so the records are those of the messages in time.
	Late     float64
	Lateness time.Duration
	// Strength is how strong campaigns are: 1 as they are set, 0 not at all, so that each is
	// an A/A test.
	Strength float64
	// Duplicates is the share of messages that arrive twice, Bad that of those beside
	// which one comes that cannot be used.
	Duplicates, Bad float64
}

// Limits of the settings. Seven digits tell customers apart.
const (
	MaxCustomers = 10_000_000
	MaxDays      = 3660
)

// DefaultSettings are a small base with the dirt that real ones have.
func DefaultSettings() Settings {
	start := time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC)
	return Settings{
		Preset: "e-commerce", Customers: 10_000, Days: 180, Seed: 1, Start: instant.Of(start), Strength: 1,
		Late: 0.01, Lateness: time.Hour, Duplicates: 0.005,
	}
}

// Validate reports all that is wrong with the settings.
func (s *Settings) Validate() error {
	var problems []error
	refuse := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if businessOf(s.Preset) == nil {
		refuse("preset %q: there is nothing to generate for it; there is for %s", s.Preset, strings.Join(Presets(), ", "))
	}
	if s.Customers < 1 || s.Customers > MaxCustomers {
		refuse("customers %d: want 1 to %d", s.Customers, MaxCustomers)
	}
	if s.Days < 1 || s.Days > MaxDays {
		refuse("days %d: want 1 to %d", s.Days, MaxDays)
	}
	if s.Start < instant.Min || s.Start.Add(time.Duration(s.Days+1)*24*time.Hour) >= instant.Max {
		refuse("start %s: want a time from 1970 to 2200, and so must be the end", s.Start)
	}
	for _, share := range []struct {
		name  string
		value float64
	}{{"late", s.Late}, {"duplicates", s.Duplicates}, {"bad", s.Bad}} {
		if !(share.value >= 0 && share.value <= 1) { // NaN, too
			refuse("%s %v: want a share from 0 to 1", share.name, share.value)
		}
	}
	if !(s.Strength >= 0 && s.Strength <= 2) {
		refuse("strength %v: want 0 to 2", s.Strength)
	}
	if s.Lateness < 0 || s.Lateness > 24*time.Hour {
		refuse("lateness %s: want 0 to 24h", s.Lateness)
	}
	if s.Late > 0 && s.Lateness == 0 {
		refuse("late %v: messages cannot be late by up to 0s", s.Late)
	}
	return errors.Join(problems...)
}

// Presets are the names of those there is something to generate for.
func Presets() []string {
	var names []string
	for _, b := range businesses() {
		names = append(names, b.preset)
	}
	return names
}

// World is a base that can be made. It is immutable and safe for concurrent use.
type World struct {
	settings       Settings
	business       *business
	source         []byte
	model          *lifecycle.Model // without lateness: the fold sees each message in time
	start, end     int64            // ms; end is excluded
	campaigns      []campaign
	campaignNumber map[string]int

	keepRecords bool // of campaigns

	keptBytes  int64 // of the messages, in memory
	blockBytes int
}

// New compiles the definition that goes with the settings: the preset with its campaigns.
func New(s Settings) (*World, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	w := &World{settings: s, business: businessOf(s.Preset), campaignNumber: map[string]int{}, keptBytes: keptBytes, blockBytes: blockBytes}
	w.start = int64(s.Start)
	w.end = w.start + int64(s.Days)*day
	timely, err := presets.WithCampaigns(s.Preset)
	if err != nil {
		return nil, err
	}
	w.source = withLateness(timely, s.Lateness)
	def, problems := definition.Parse(s.Preset, timely)
	if def == nil {
		return nil, fmt.Errorf("preset %s with its campaigns: %v", s.Preset, problems)
	}
	w.readCampaigns(def)
	if w.model, problems = lifecycle.Compile(def); w.model == nil {
		return nil, fmt.Errorf("preset %s with its campaigns: %v", s.Preset, problems)
	}
	return w, nil
}

// Definition is the file under which the base was lived: its lateness is the settings'.
func (w *World) Definition() []byte { return w.source }

// End is the instant at which the base ends: no message is of it or later.
func (w *World) End() instant.Instant { return instant.Instant(w.end) }

// withLateness adds what waiting takes behind the line of `dedupe`, which every preset has.
func withLateness(source []byte, lateness time.Duration) []byte {
	if lateness == 0 {
		return source
	}
	before, rest, _ := strings.Cut(string(source), "\ndedupe:")
	line, after, _ := strings.Cut(rest, "\n")
	return []byte(before + "\ndedupe:" + line +
		"\nlateness: " + duration(lateness) + "          # messages may come late by so much; they are waited for" +
		"\nlimits: {held: 1000, held_bytes: 256KiB} # of a customer's messages that wait: far more than one sends in that time\n" + after)
}

// duration is d as definitions write it.
func duration(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

func (w *World) readCampaigns(def *definition.Definition) {
	for i := range def.Campaigns {
		d := &def.Campaigns[i]
		ca := campaign{name: d.Name.Value, journey: d.Journey.Value, step: d.Step.Value, rounds: d.Every > 0}
		for j := range w.business.effects {
			if e := &w.business.effects[j]; e.campaign == ca.name {
				ca.effect = e
			}
		}
		for _, v := range d.Variants {
			a := arm{name: v.Name.Value, share: v.Share}
			if ca.effect != nil {
				a.channel = ca.effect.channel
			}
			for _, p := range v.Properties {
				if p.Name.Value == "channel" {
					a.channel = p.Value.Value
				}
			}
			ca.variants = append(ca.variants, a)
		}
		for _, g := range d.Goals {
			one := goal{name: g.Name.Value, within: g.Within}
			if ca.effect != nil {
				for k := range ca.effect.goals {
					if e := &ca.effect.goals[k]; e.goal == one.name {
						one.effect = e
					}
				}
			}
			ca.goals = append(ca.goals, one)
		}
		w.campaignNumber[ca.name] = len(w.campaigns)
		w.campaigns = append(w.campaigns, ca)
	}
}
