// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/topics"
)

// ErrDefinitionChanged says that the definition differs from the live one and its version does not.
var ErrDefinitionChanged = errors.New("a changed definition needs a new version")

// ErrOtherClock says that other workers of this generation follow another kind of clock.
var ErrOtherClock = errors.New("one generation has one kind of clock")

// ErrOlderVersion says that a definition's version is not above the live one's.
var ErrOlderVersion = errors.New("a definition that follows another has a greater version")

// activation is a definition as the definitions topic keeps it.
type activation struct {
	Name        string `json:"name"`
	Version     int64  `json:"version"`
	Hash        string `json:"hash"`
	Timezone    string `json:"timezone"`
	Currency    string `json:"currency"`
	ActivatedAt string `json:"activated_at"`
	// FirstActivatedAt is when the first definition of the generation went live; empty:
	// this is the first.
	FirstActivatedAt string `json:"first_activated_at,omitempty"`
	// BeginsWith is the source of the definition with which a lane begins that never ran,
	// while this one waits for its instant there; empty: with this one.
	BeginsWith string            `json:"begins_with,omitempty"`
	Models     []activationModel `json:"models"`
	Segments   []string          `json:"segments"`
	// Campaigns and Holdout, the share kept out of all of them.
	Campaigns []activationCampaign `json:"campaigns"`
	Holdout   float64              `json:"global_holdout"`
	Source    string               `json:"source"`
	Clock     ClockMode            `json:"clock"` // by which its deadlines fire
	Lanes     int32                `json:"lanes"` // it is computed in; 0: not recorded

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
		Campaigns: activationCampaigns(d), Holdout: share(d.GlobalHoldout),
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

// activate finds the definition that is live in this generation; in one that has none yet
// it puts def live. The file of a process may be of another version: what is live is
// changed by Apply alone. A changed definition under an unchanged version is refused,
// whatever the generation.
func activate(ctx context.Context, cfg *Config, deps *Deps, def *definition.Definition, r role) (activation, error) {
	known, err := readDefinitions(ctx, cfg, deps)
	if err != nil {
		return activation{}, err
	}
	name, version := def.Name.Value, def.Version
	before := "" // since when it has been live, in another generation
	for _, a := range known {
		ours := a.generation == generationText(cfg)
		switch {
		case !ours && (a.Name != name || a.Version != version):
			continue
		case ours && a.Name != name:
			return activation{}, fmt.Errorf("generation %d of %s computes %s, this is %s: %w: run that definition, or another prefix",
				cfg.Generation, cfg.topic(topics.Definitions), a.Name, name, ErrOtherDefinition)
		case ours && a.Lanes != 0 && a.Lanes != cfg.Lanes:
			return activation{}, fmt.Errorf("activate %s version %d: generation %d of %s was computed with %d lanes, lanes is %d: %w: %s",
				name, version, cfg.Generation, cfg.topic(topics.Definitions), a.Lanes, cfg.Lanes, ErrLanes, otherLanes)
		case a.Version == version && a.Hash != def.Hash:
			return activation{}, fmt.Errorf("activate %s version %d (hash %.12s): generation %s has version %d with hash %.12s: %w",
				name, version, def.Hash, a.generation, a.Version, a.Hash, ErrDefinitionChanged)
		case ours && a.Clock != cfg.Clock:
			return activation{}, fmt.Errorf("activate %s version %d: generation %d of %s runs with clock: %s, this one is set to clock: %s: %w: "+
				"set the same, or another prefix or generation",
				name, version, cfg.Generation, cfg.topic(topics.Definitions), a.Clock, cfg.Clock, ErrOtherClock)
		case ours && a.Version != version && r.shadowOf != nil:
			return activation{}, fmt.Errorf("generation %d of %s has begun with version %d of %s, this is version %d: %w: "+
				"drop it with `lapwing rebuild --drop %d`, and begin again", cfg.Generation, cfg.Prefix, a.Version, name, version, ErrOtherDefinition, cfg.Generation)
		case ours:
			if a.Version != version {
				deps.Log.Warn("the definition file is not the live definition, which goes on; `lapwing apply` puts it live",
					zap.String("definition", name), zap.Int64("definition_version", a.Version), zap.Int64("file_version", version))
			}
			return a, nil
		}
		before = a.firstActivated()
	}
	at := instant.Of(deps.Now())
	if then, ok := instant.Parse(before); ok {
		at = then
	}
	a := newActivation(def, at)
	a.Clock, a.Lanes, a.generation = cfg.Clock, cfg.Lanes, generationText(cfg)
	record, err := a.record(cfg)
	if err != nil {
		return activation{}, err
	}
	return a, writeDefinitions(ctx, cfg, deps, record)
}

// record is the activation as the definitions topic has it.
func (a *activation) record(cfg *Config) (*kgo.Record, error) {
	value, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("encode definition: %w", err)
	}
	return &kgo.Record{
		Key: definitionKey(a.Name, cfg.Generation), Value: value,
		Headers: []kgo.RecordHeader{{Key: generationHeader, Value: []byte(generationText(cfg))}},
	}, nil
}

// firstActivated is when the first definition of the generation went live.
func (a *activation) firstActivated() string { return cmp.Or(a.FirstActivatedAt, a.ActivatedAt) }

// since is firstActivated as an instant: where a lane that never ran begins to publish.
func (a *activation) since() (instant.Instant, error) {
	at, ok := instant.Parse(a.firstActivated())
	if !ok {
		return instant.None, fmt.Errorf("read when %s was activated: %q is no time", a.Name, a.firstActivated())
	}
	return at, nil
}

// follows refuses a definition that cannot follow the live one; the live one itself may.
func follows(live *activation, def *definition.Definition) error {
	name, version := def.Name.Value, def.Version
	switch {
	case live.Name != name:
		return fmt.Errorf("generation %s computes %s, this is %s: %w: give it the name %s, or run it under another prefix",
			live.generation, live.Name, name, ErrOtherDefinition, live.Name)
	case live.Version == version && live.Hash != def.Hash:
		return fmt.Errorf("version %d of %s is live with hash %.12s, this one has hash %.12s: %w: give it version %d",
			version, name, live.Hash, def.Hash, ErrDefinitionChanged, version+1)
	case live.Version > version:
		return fmt.Errorf("version %d of %s is live, this is version %d: %w: to go back to what it says, give it version %d",
			live.Version, name, version, ErrOlderVersion, live.Version+1)
	}
	return nil
}

// admits refuses a definition that cannot follow the live one, or whose version is that of
// another content in any generation.
func (b *base) admits(def *definition.Definition) error {
	if err := follows(&b.def, def); err != nil {
		return err
	}
	name, version := def.Name.Value, def.Version
	free := version + 1 // above all that are known
	var other *activation
	for _, a := range b.known {
		if a.Name != name {
			continue
		}
		free = max(free, a.Version+1)
		if a.Version == version && a.Hash != def.Hash {
			other = &a
		}
	}
	if other == nil {
		return nil
	}
	return fmt.Errorf("generation %s computes version %d of %s with hash %.12s, this one has hash %.12s: %w: give it version %d",
		other.generation, version, name, other.Hash, def.Hash, ErrDefinitionChanged, free)
}

// replaces refuses a generation with a definition that would take back what has been
// applied to the live one. Names that differ have versions of their own.
func replaces(live *activation, def *definition.Definition, generation uint32) error {
	name, version := def.Name.Value, def.Version
	switch {
	case live.Name != name:
		return nil
	case live.Version > version:
		return fmt.Errorf("version %d of %s is live, generation %d has version %d: %w: "+
			"drop it with `lapwing rebuild --drop %d`, and rebuild another generation with version %d, or with what version %d says as version %d",
			live.Version, name, generation, version, ErrOlderVersion, generation, live.Version, version, live.Version+1)
	case live.Version == version && live.Hash != def.Hash:
		return fmt.Errorf("version %d of %s is live with hash %.12s, generation %d has it with hash %.12s: %w: "+
			"drop it with `lapwing rebuild --drop %d`, and rebuild another generation with what is live, or with version %d",
			version, name, live.Hash, generation, def.Hash, ErrDefinitionChanged, generation, version+1)
	}
	return nil
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
