// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/presets"
	"lapwing/schemas/samples"
	"lapwing/stream/generate"
)

// demoRealPreset is the preset that real data are shown with: purchases alone say something
// about no other one.
const demoRealPreset = "customer-value"

// demoPresets are the presets that can be shown, the default first.
func demoPresets() []string {
	names := []string{demoRealPreset}
	for _, name := range generate.Presets() {
		if name != demoRealPreset {
			names = append(names, name)
		}
	}
	return names
}

// demoBase is whose events the demo shows.
type demoBase struct {
	preset string
	title  string
	told   string // what the events are, behind their number
	source []byte // the definition
	// each passes all messages on in order of arrival and says where the clock ends.
	each func(ctx context.Context, send func(key string, value []byte, at instant.Instant)) (instant.Instant, error)
	kpis []demoKPI
	// truth is what the base was made with, once each has returned; nil for a real one.
	truth *generate.Truth
}

// definition is the base's, parsed.
func (b *demoBase) definition() (*definition.Definition, error) {
	name := "preset:" + b.preset
	d, problems := definition.Parse(name, b.source)
	if d == nil { // what ships is sound
		return nil, fmt.Errorf("%s with its campaigns cannot be read: %s", name, problems[0].Format(name, b.source))
	}
	return d, nil
}

func newDemoBase(preset string) (*demoBase, error) {
	switch {
	case preset == demoRealPreset:
		return realBase()
	case slices.Contains(demoPresets(), preset):
		settings := generate.DefaultSettings()
		settings.Preset, settings.Customers, settings.Days = preset, demoCustomers(preset), demoDays
		// Nothing is late: messages that wait cost twice the work, and look the same.
		settings.Late, settings.Lateness = 0, 0
		return madeUpBase(settings)
	}
	return nil, usageError("there is nothing to show for preset %s; there is for %s", preset, strings.Join(demoPresets(), ", "))
}

// realBase is CDNOW's purchases, under the preset with its campaign.
func realBase() (*demoBase, error) {
	source, err := presets.WithCampaigns(demoRealPreset)
	if err != nil {
		return nil, err
	}
	purchases, err := samples.CDNOW()
	if err != nil {
		return nil, err
	}
	latest := purchases[len(purchases)-1].At
	b := &demoBase{
		preset: demoRealPreset, source: source, kpis: realKPIs,
		title: "a year and a half of a real shop",
		told:  "purchases, 1 January 1997 to " + inWords(latest, time.UTC),
	}
	b.each = func(_ context.Context, send func(string, []byte, instant.Instant)) (instant.Instant, error) {
		for i := range purchases {
			p := &purchases[i]
			send(p.Customer, p.AppendEvent(nil), p.At)
		}
		return latest, nil
	}
	return b, nil
}

// demoDays is how long a made-up base lives.
const demoDays = 180

// demoCustomers is how many a made-up base has: enough for effects to show, and a moment's
// work, about 150,000 events.
func demoCustomers(preset string) int {
	if preset == "saas-onboarding" { // used daily
		return 2000
	}
	return 4500
}

// madeUpBase is generated customers, under the preset with its campaigns.
func madeUpBase(settings generate.Settings) (*demoBase, error) {
	preset := settings.Preset
	world, err := generate.New(settings)
	if err != nil {
		return nil, err
	}
	b := &demoBase{
		preset: preset, source: world.Definition(), kpis: madeUpKPIs(preset),
		title: fmt.Sprintf("half a year of %s made-up customers, whose truth is known", grouped(int64(settings.Customers))),
		told:  fmt.Sprintf("events of the preset %s, %s to %s", preset, inWords(settings.Start, time.UTC), inWords(world.End(), time.UTC)),
	}
	b.each = func(ctx context.Context, send func(string, []byte, instant.Instant)) (instant.Instant, error) {
		var err error
		b.truth, err = world.Each(ctx, func(l *generate.Line) error {
			send(l.Key, bytes.Clone(bytes.TrimSuffix(l.Text, []byte("\n"))), l.Arrival)
			return nil
		}, nil)
		return world.End(), err
	}
	return b, nil
}
