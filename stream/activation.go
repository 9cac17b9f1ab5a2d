// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
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

// activate sees to it that the definitions topic holds def, and returns the moment
// from which it was live. A changed definition under an unchanged version is refused.
func activate(ctx context.Context, cfg *Config, deps *Deps, def *definition.Definition) (instant.Instant, error) {
	live, err := liveDefinition(ctx, cfg, deps, def.Name.Value)
	if err != nil {
		return instant.None, err
	}
	if live != nil && live.Version == def.Version {
		if live.Hash != def.Hash {
			return instant.None, fmt.Errorf("activate %s version %d (hash %.12s): version %d is live with hash %.12s: %w",
				def.Name.Value, def.Version, def.Hash, live.Version, live.Hash, ErrDefinitionChanged)
		}
		if live.generation == generationText(cfg) && live.Clock != cfg.Clock {
			return instant.None, fmt.Errorf("activate %s version %d: generation %d of %s runs with clock: %s, this one is set to clock: %s: %w: "+
				"set the same, or another prefix or generation",
				def.Name.Value, def.Version, cfg.Generation, cfg.topic(topics.Definitions), live.Clock, cfg.Clock, ErrOtherClock)
		}
		at, ok := instant.Parse(live.ActivatedAt)
		if !ok {
			return instant.None, fmt.Errorf("read when %s was activated: %q is no time", live.Name, live.ActivatedAt)
		}
		return at, nil
	}
	at := instant.Of(deps.Now())
	a := newActivation(def, at)
	a.Clock = cfg.Clock
	value, err := json.Marshal(a)
	if err != nil {
		return instant.None, fmt.Errorf("encode definition: %w", err)
	}
	client, err := kgo.NewClient(clientOpts(cfg, deps, cfg.member("", 0)+"-definitions")...)
	if err != nil {
		return instant.None, fmt.Errorf("create client for definitions: %w", err)
	}
	defer client.Close()
	r := &kgo.Record{
		Topic: cfg.topic(topics.Definitions), Key: []byte(def.Name.Value), Value: value,
		Headers: []kgo.RecordHeader{{Key: generationHeader, Value: []byte(generationText(cfg))}},
	}
	if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
		return instant.None, fmt.Errorf("write definition %s: %w", def.Name.Value, err)
	}
	return at, nil
}

// liveDefinition is the newest record of that name, nil if there is none.
func liveDefinition(ctx context.Context, cfg *Config, deps *Deps, name string) (*activation, error) {
	topic := cfg.topic(topics.Definitions)
	var live *activation
	err := readToEnd(ctx, cfg, deps, topic, map[int32]int64{}, func(r *kgo.Record) error {
		if string(r.Key) != name {
			return nil
		}
		live = nil
		if r.Value == nil {
			return nil
		}
		live = new(activation)
		if err := json.Unmarshal(r.Value, live); err != nil {
			return fmt.Errorf("decode definition %s at offset %d: %w", name, r.Offset, err)
		}
		for _, h := range r.Headers {
			if h.Key == generationHeader {
				live.generation = string(h.Value)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read topic %s: %w", topic, err)
	}
	return live, nil
}

// readToEnd reads partitions of a topic from the given offsets (none given: all of
// the topic, from its beginning) to where they ended when it was called, as a
// read_uncommitted reader sees the end, but only what was committed: a commit may be
// answered, and its offsets be visible, while its marker is still on its way, and
// would be lost by who reads to the last stable offset. Markers count: a log that a
// transaction wrote ends in one.
func readToEnd(ctx context.Context, cfg *Config, deps *Deps, topic string, from map[int32]int64, fn func(*kgo.Record) error) error {
	client, err := kgo.NewClient(clientOpts(cfg, deps, cfg.member("", 0)+"-reader")...)
	if err != nil {
		return fmt.Errorf("create reader: %w", err)
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return fmt.Errorf("find the beginning of the log: %w", err)
	}
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("find the end of the log: %w", err)
	}
	all := len(from) == 0
	open := map[int32]int64{} // partition -> end
	consume := map[int32]kgo.Offset{}
	ends.Each(func(o kadm.ListedOffset) {
		next, wanted := from[o.Partition]
		if !all && !wanted {
			return
		}
		if s, ok := starts.Lookup(topic, o.Partition); ok {
			next = max(next, s.Offset)
		}
		if next < o.Offset {
			open[o.Partition] = o.Offset
			consume[o.Partition] = kgo.NewOffset().At(next)
		}
	})
	if len(open) == 0 {
		return nil
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: consume})
	for len(open) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			end, wanted := open[r.Partition]
			if !wanted || r.Offset >= end {
				continue
			}
			if r.Offset+1 >= end {
				delete(open, r.Partition)
			}
			if r.Attrs.IsControl() {
				continue
			}
			if err := fn(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// activationTimeout bounds the reading and writing of the definitions topic.
const activationTimeout = 2 * time.Minute
