// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/topics"
)

// ErrDefinitionChanged says that the definition differs from the live one and its version does not.
var ErrDefinitionChanged = errors.New("a changed definition needs a new version")

// ErrOtherClock says that other workers of this generation follow another kind of clock.
var ErrOtherClock = errors.New("one generation has one kind of clock")

// activation is a definition as the definitions topic keeps it.
type activation struct {
	Name        string            `json:"name"`
	Version     int64             `json:"version"`
	Hash        string            `json:"hash"`
	Timezone    string            `json:"timezone"`
	Currency    string            `json:"currency"`
	ActivatedAt string            `json:"activated_at"`
	Models      []activationModel `json:"models"`
	Segments    []string          `json:"segments"`
	Source      string            `json:"source"`
	Clock       ClockMode         `json:"clock"` // by which its deadlines fire
	Lanes       int32             `json:"lanes"` // it is computed in; 0: not recorded

	generation string
}

type activationModel struct {
	Name    string   `json:"name"`
	Stages  []string `json:"stages"`
	Order   []string `json:"order"` // worst to best
	Churned []string `json:"churned"`
	AtRisk  []string `json:"at_risk"`
}

func newActivation(d *definition.Definition, at instant.Instant) activation {
	a := activation{
		Name: d.Name.Value, Version: d.Version, Hash: d.Hash,
		Timezone: "UTC", Currency: d.Currency, ActivatedAt: at.String(),
		Models: []activationModel{}, Segments: []string{}, Source: string(d.Source),
	}
	if d.Zone != nil {
		a.Timezone = d.Zone.String()
	}
	for _, m := range d.Models {
		am := activationModel{Name: m.Name.Value, Order: values(m.Order), Churned: values(m.Churned), AtRisk: values(m.AtRisk)}
		am.Stages = []string{}
		for _, s := range m.Stages {
			am.Stages = append(am.Stages, s.Name.Value)
		}
		if len(am.Order) == 0 {
			am.Order = am.Stages
		}
		a.Models = append(a.Models, am)
	}
	for _, s := range d.Segments {
		a.Segments = append(a.Segments, s.Name.Value)
	}
	return a
}

// generationText is the generation as the header of a record has it.
func generationText(cfg *Config) string { return strconv.FormatUint(uint64(cfg.Generation), 10) }

func values(texts []definition.Text) []string {
	vs := make([]string, 0, len(texts))
	for _, t := range texts {
		vs = append(vs, t.Value)
	}
	return vs
}

// activate sees to it that the definitions topic holds def for this generation, and
// returns the moment from which it was live. A changed definition under an unchanged
// version is refused, whatever the generation.
func activate(ctx context.Context, cfg *Config, deps *Deps, def *definition.Definition) (instant.Instant, error) {
	known, err := readDefinitions(ctx, cfg, deps)
	if err != nil {
		return instant.None, err
	}
	activatedAt := ""
	for _, a := range known {
		if a.Name != def.Name.Value {
			continue
		}
		ours := a.generation == generationText(cfg)
		if ours && a.Lanes != 0 && a.Lanes != cfg.Lanes {
			return instant.None, fmt.Errorf("activate %s version %d: generation %d of %s was computed with %d lanes, lanes is %d: %w: %s",
				def.Name.Value, def.Version, cfg.Generation, cfg.topic(topics.Definitions), a.Lanes, cfg.Lanes, ErrLanes, otherLanes)
		}
		if a.Version != def.Version {
			continue
		}
		if a.Hash != def.Hash {
			return instant.None, fmt.Errorf("activate %s version %d (hash %.12s): generation %s has version %d with hash %.12s: %w",
				def.Name.Value, def.Version, def.Hash, a.generation, a.Version, a.Hash, ErrDefinitionChanged)
		}
		if ours && a.Clock != cfg.Clock {
			return instant.None, fmt.Errorf("activate %s version %d: generation %d of %s runs with clock: %s, this one is set to clock: %s: %w: "+
				"set the same, or another prefix or generation",
				def.Name.Value, def.Version, cfg.Generation, cfg.topic(topics.Definitions), a.Clock, cfg.Clock, ErrOtherClock)
		}
		at, ok := instant.Parse(a.ActivatedAt)
		if !ok {
			return instant.None, fmt.Errorf("read when %s was activated: %q is no time", a.Name, a.ActivatedAt)
		}
		if ours {
			return at, nil
		}
		activatedAt = a.ActivatedAt
	}
	at := instant.Of(deps.Now())
	if then, ok := instant.Parse(activatedAt); ok {
		at = then // it has been live, in another generation
	}
	a := newActivation(def, at)
	a.Clock, a.Lanes = cfg.Clock, cfg.Lanes
	value, err := json.Marshal(a)
	if err != nil {
		return instant.None, fmt.Errorf("encode definition: %w", err)
	}
	return at, writeDefinitions(ctx, cfg, deps, &kgo.Record{
		Key: definitionKey(def.Name.Value, cfg.Generation), Value: value,
		Headers: []kgo.RecordHeader{{Key: generationHeader, Value: []byte(generationText(cfg))}},
	})
}

// definitionKey is the key of a definition's record: each generation has its own, so
// that none is compacted away by another's.
func definitionKey(name string, generation uint32) []byte {
	if generation == 1 {
		return []byte(name)
	}
	return fmt.Appendf(nil, "%s.g%d", name, generation)
}

// readDefinitions are the definitions of all generations, the newest of each key.
func readDefinitions(ctx context.Context, cfg *Config, deps *Deps) (map[string]activation, error) {
	topic := cfg.topic(topics.Definitions)
	known := map[string]activation{}
	err := readToEnd(ctx, cfg, deps, topic, map[int32]int64{}, func(r *kgo.Record) error {
		if strings.HasPrefix(string(r.Key), generationKey) {
			return nil
		}
		if r.Value == nil {
			delete(known, string(r.Key))
			return nil
		}
		var a activation
		if err := json.Unmarshal(r.Value, &a); err != nil {
			return fmt.Errorf("decode definition %s at offset %d: %w", r.Key, r.Offset, err)
		}
		for _, h := range r.Headers {
			if h.Key == generationHeader {
				a.generation = string(h.Value)
			}
		}
		known[string(r.Key)] = a
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read topic %s: %w", topic, err)
	}
	return known, nil
}

// activationTimeout bounds the reading and writing of the definitions topic.
const activationTimeout = 2 * time.Minute
