// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/definition"
	"lapwing/schemas/mailbox"
	"lapwing/stream/lifecycle"
	"lapwing/stream/store"
)

// Preview is what a definition would change, if it followed the live one now.
type Preview struct {
	Definition   string            `json:"definition"`
	LiveVersion  int64             `json:"live_version"`
	Version      int64             `json:"version"`
	Customers    int64             `json:"customers"`
	Changing     int64             `json:"customers_changing"` // in a stage or segment
	Assigning    int64             `json:"customers_assigned"` // in a campaign, at once
	Models       []ModelPreview    `json:"models"`
	Segments     []GroupPreview    `json:"segments"`
	Campaigns    []CampaignPreview `json:"campaigns"`
	Sample       []Preliminary     `json:"sample"`
	Missing      []Missed          `json:"missing_history"`
	RebuildWants Recomputation     `json:"rebuild"`
}

// ModelPreview is a model of either definition.
type ModelPreview struct {
	Model  string         `json:"model"`
	Change string         `json:"change"` // "kept", "added" or "removed"
	Stages []GroupPreview `json:"stages"` // in the order of the new definition, then those that are no more
}

// GroupPreview counts the customers of a stage or segment.
type GroupPreview struct {
	Name   string `json:"name"`
	Change string `json:"change"` // "kept", "added" or "removed"
	Live   int64  `json:"live"`
	New    int64  `json:"new"`
	Enter  int64  `json:"enter"`
	Leave  int64  `json:"leave"`
	Stay   int64  `json:"stay"`
}

// CampaignPreview counts the customers of a campaign of either definition.
type CampaignPreview struct {
	Campaign string           `json:"campaign"`
	Change   string           `json:"change"`   // "kept", "added" or "removed"
	Assigned int64            `json:"assigned"` // who are by now, and stay so
	Assign   int64            `json:"assign"`   // who would be at once
	Holdout  int64            `json:"holdout"`  // of those
	Variants []VariantPreview `json:"variants"` // likewise, in the order of the definition
}

// VariantPreview counts the customers that a variant would be given to.
type VariantPreview struct {
	Variant string `json:"variant"`
	Assign  int64  `json:"assign"`
}

// Preliminary is one customer that would change, or be assigned.
type Preliminary struct {
	Customer string              `json:"customer"`
	Changes  []PreliminaryChange `json:"changes"`
}

// PreliminaryChange is a change of a stage (Model) or a segment, with the condition that
// holds now and the one that held before; or an assignment, with the audience.
type PreliminaryChange struct {
	Model     string `json:"model,omitempty"`
	Segment   string `json:"segment,omitempty"`
	Campaign  string `json:"campaign,omitempty"`
	Variant   string `json:"variant,omitempty"`
	Holdout   bool   `json:"holdout,omitempty"`
	From      string `json:"from,omitempty"`
	To        string `json:"to,omitempty"`
	Entered   *bool  `json:"entered,omitempty"`
	Condition string `json:"condition,omitempty"` // of what is entered, in the new definition
	Former    string `json:"former,omitempty"`    // of what is left, in the live one
}

// Missed is history that the new definition reads and the live state does not hold.
type Missed struct {
	Event     string         `json:"event"`
	Lack      lifecycle.Lack `json:"lack"`
	Text      string         `json:"text"`
	Customers *int64         `json:"customers"` // who lack it; null: not known
}

// Recomputation is what `lapwing rebuild` would have to do.
type Recomputation struct {
	Events  int64 `json:"events"`  // that the inputs still hold
	Seconds int64 `json:"seconds"` // about, in one process
}

// rebuildRate is how many events a second one process computes at least, with a few cores.
const rebuildRate = 100_000

// Changes reports whether anybody would change, or anything else that is public.
func (p *Preview) Changes() bool {
	changed := func(g GroupPreview) bool { return g.Change != "kept" }
	for _, m := range p.Models {
		if m.Change != "kept" || slices.ContainsFunc(m.Stages, changed) {
			return true
		}
	}
	if p.Assigning > 0 || slices.ContainsFunc(p.Campaigns, func(c CampaignPreview) bool { return c.Change != "kept" }) {
		return true
	}
	return p.Changing > 0 || slices.ContainsFunc(p.Segments, changed)
}

// PreviewOf compares a definition with the live one over the live state and changes
// nothing. It reads the changelog into a store in dir, which is emptied lane by lane; sample
// is how many customers that change to name.
func PreviewOf(ctx context.Context, cfg Config, def *definition.Definition, deps Deps, dir string, sample int, report func(lane, lanes int32)) (*Preview, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("check the stream's configuration: %w", err)
	}
	deps.fill()
	model, err := compile(def)
	if err != nil {
		return nil, err
	}
	of, err := liveOrigin(ctx, &cfg, &deps)
	if err != nil {
		return nil, err
	}
	s, err := store.Open(dir, store.Options{Memory: cfg.storeMemory(), Log: deps.Log.Named("store")})
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }() // it is thrown away
	live, err := openPredecessor(ctx, &cfg, &deps, of, s, newMetrics(deps.Registerer))
	if err != nil {
		return nil, err
	}
	if err := live.admits(def); err != nil {
		return nil, err
	}
	p := newPreviewer(live.model, model, sample)
	if err := p.carrier.Fits(); err != nil {
		return nil, err
	}
	for lane := range live.cfg.Lanes {
		report(lane, live.cfg.Lanes)
		id := store.Lane{Generation: of.Generation, Lane: lane}
		rec, err := live.read(ctx, id)
		if err != nil {
			return nil, err
		}
		if rec != nil {
			lineage, at := live.lineage(lane), rec.Watermark
			err := s.Each(id, byte(mailbox.StateCustomer), func(customer, value []byte) error {
				return p.customer(lineage, string(customer), value, at)
			})
			if err != nil {
				return nil, fmt.Errorf("lane %d: %w", lane, err)
			}
		}
		if err := s.Wipe(id); err != nil {
			return nil, err
		}
	}
	report(live.cfg.Lanes, live.cfg.Lanes)
	out := p.result()
	out.RebuildWants, err = recomputation(ctx, &cfg, &deps)
	return out, err
}

// ErrBetween says that lanes have yet to follow the live definition.
var ErrBetween = errors.New("the live definition has not come to all lanes yet: try again once `lapwing apply` is through")

// liveOrigin is the generation that is live under the configuration's prefix.
func liveOrigin(ctx context.Context, cfg *Config, deps *Deps) (Origin, error) {
	all, err := readGenerations(ctx, cfg, deps)
	if err != nil {
		return Origin{}, err
	}
	live, any := all.live()
	if !any {
		return Origin{}, fmt.Errorf("no generation is live under %s: %w: start the service first", cfg.Prefix, ErrNeverRan)
	}
	return Origin{Prefix: cfg.Prefix, Group: cfg.Group, Generation: live.Generation}, nil
}

// recomputation counts the events that the inputs hold.
func recomputation(ctx context.Context, cfg *Config, deps *Deps) (r Recomputation, err error) {
	client, err := kgo.NewClient(clientOpts(cfg, deps, cfg.member("", 0)+"-plan")...)
	if err != nil {
		return r, fmt.Errorf("create client: %w", err)
	}
	defer client.Close()
	starts, ends, err := inputSpans(ctx, kadm.NewClient(client), cfg)
	if err != nil {
		return r, err
	}
	ends.Each(func(end kadm.ListedOffset) {
		start, _ := starts.Lookup(end.Topic, end.Partition) // both were asked for
		r.Events += max(0, end.Offset-start.Offset)
	})
	r.Seconds = (r.Events + rebuildRate - 1) / rebuildRate
	return r, nil
}
