// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/instant"
	"lapwing/schemas/topics"
)

// ErrNotLive says that a generation may not run because another has taken its place.
var ErrNotLive = errors.New("another generation is live")

// Origin names a generation: that whose place another one takes.
type Origin struct {
	Prefix     string `yaml:"prefix" json:"prefix"`
	Group      string `yaml:"group" json:"group"`
	Generation uint32 `yaml:"generation" json:"generation"`
}

func (c *Config) origin() Origin {
	return Origin{Prefix: c.Prefix, Group: c.Group, Generation: c.Generation}
}

// What may be said of a generation.
const (
	generationLive    = "live"    // its changes are public, unless a greater one is live, too
	generationEnded   = "ended"   // one of another prefix has taken its place
	generationDropped = "dropped" // its state is gone
)

// generationRecord is what the definitions topic holds of a generation beside its
// definition. One that nothing is said of is computed, but nothing of it is public.
type generationRecord struct {
	Generation uint32  `json:"generation"`
	State      string  `json:"state"`
	Since      string  `json:"since"`
	From       *Origin `json:"from,omitempty"` // live: whose place it has taken
	// TakenOver: every lane has; From is not needed any more.
	TakenOver bool    `json:"taken_over,omitempty"`
	By        *Origin `json:"by,omitempty"` // ended: who has taken its place
}

// generations are the records by their numbers.
type generations map[uint32]generationRecord

// generationKey is in front of the number in a record's key: no definition's name has
// a dot.
const generationKey = "generation."

func readGenerations(ctx context.Context, cfg *Config, deps *Deps) (generations, error) {
	topic := cfg.topic(topics.Definitions)
	all := generations{}
	err := readToEnd(ctx, cfg, deps, topic, map[int32]int64{}, func(r *kgo.Record) error {
		number, ok := strings.CutPrefix(string(r.Key), generationKey)
		if !ok {
			return nil
		}
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return fmt.Errorf("read the key %q at offset %d: %w", r.Key, r.Offset, err)
		}
		if r.Value == nil {
			delete(all, uint32(n))
			return nil
		}
		var g generationRecord
		if err := json.Unmarshal(r.Value, &g); err != nil {
			return fmt.Errorf("decode generation %d at offset %d: %w", n, r.Offset, err)
		}
		all[uint32(n)] = g
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read topic %s: %w", topic, err)
	}
	return all, nil
}

// writeGeneration makes g what is said of its generation.
func writeGeneration(ctx context.Context, cfg *Config, deps *Deps, g generationRecord) error {
	record, err := g.record(cfg)
	if err != nil {
		return err
	}
	return writeDefinitions(ctx, cfg, deps, record)
}

// record is what is said of a generation of cfg as the definitions topic has it.
func (g *generationRecord) record(cfg *Config) (*kgo.Record, error) {
	value, err := json.Marshal(g)
	if err != nil {
		return nil, fmt.Errorf("encode a generation: %w", err)
	}
	return &kgo.Record{
		Topic: cfg.topic(topics.Definitions), Key: fmt.Appendf(nil, "%s%d", generationKey, g.Generation), Value: value,
		Headers: []kgo.RecordHeader{{Key: generationHeader, Value: strconv.AppendUint(nil, uint64(g.Generation), 10)}},
	}, nil
}

// writeDefinitions writes records to the definitions topic of cfg.
func writeDefinitions(ctx context.Context, cfg *Config, deps *Deps, records ...*kgo.Record) error {
	client, err := kgo.NewClient(clientOpts(cfg, deps, cfg.member("", 0)+"-definitions")...)
	if err != nil {
		return fmt.Errorf("create client for definitions: %w", err)
	}
	defer client.Close()
	for _, r := range records {
		r.Topic = cfg.topic(topics.Definitions)
	}
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("write to topic %s: %w", cfg.topic(topics.Definitions), err)
	}
	return nil
}

// live is the generation that is live; ok is false before the first one has started.
func (g generations) live() (live generationRecord, ok bool) {
	for n, r := range g {
		if r.State == generationLive && (!ok || n > live.Generation) {
			live, ok = r, true
		}
	}
	return live, ok
}

// role is what a process of a generation has to do.
type role struct {
	// shadowOf is the live generation, whose place this one may take later: until then
	// nothing of it is public, and it goes no further than the live one has come.
	shadowOf *Origin
	// from is the generation whose place this one has taken, while lanes are left that
	// have not taken over yet.
	from *Origin
	// first: no generation is live.
	first bool
	// dropped are generations whose state is gone.
	dropped []uint32
}

// role says what a process of this configuration is.
func (g generations) role(cfg *Config) (role, error) {
	r, err := g.part(cfg)
	for n, said := range g {
		if said.State == generationDropped {
			r.dropped = append(r.dropped, n)
		}
	}
	return r, err
}

func (g generations) part(cfg *Config) (role, error) {
	own, said := g[cfg.Generation]
	live, any := g.live()
	switch {
	case said && own.State == generationEnded:
		return role{}, fmt.Errorf("generation %d of %s has ended: prefix %q, group %s, generation %d has taken its place on %s: %w: "+
			"run the configuration with that prefix", cfg.Generation, cfg.Prefix, own.By.Prefix, own.By.Group, own.By.Generation, own.Since, ErrNotLive)
	case said && own.State == generationDropped:
		return role{}, fmt.Errorf("generation %d of %s was dropped on %s: %w: set another generation", cfg.Generation, cfg.Prefix, own.Since, ErrNotLive)
	case any && live.Generation > cfg.Generation:
		return role{}, fmt.Errorf("generation %d of %s is live since %s, this one is set to generation: %d: %w: "+
			"set generation: %d, with the definition and the lanes of that one", live.Generation, cfg.Prefix, live.Since, cfg.Generation, ErrNotLive, live.Generation)
	case any && live.Generation == cfg.Generation:
		if live.TakenOver {
			live.From = nil
		}
		return role{from: live.From}, nil
	case any:
		return role{shadowOf: &Origin{Prefix: cfg.Prefix, Group: cfg.Group, Generation: live.Generation}}, nil
	case cfg.From.Generation != 0:
		from := cfg.From
		return role{shadowOf: &from}, nil
	}
	return role{first: true}, nil
}

// findRole reads what this process is; the first generation there is becomes live.
func findRole(ctx context.Context, cfg *Config, deps *Deps) (role, error) {
	all, err := readGenerations(ctx, cfg, deps)
	if err != nil {
		return role{}, err
	}
	r, err := all.role(cfg)
	if err != nil || !r.first {
		return r, err
	}
	return r, writeGeneration(ctx, cfg, deps, generationRecord{
		Generation: cfg.Generation, State: generationLive, Since: instant.Of(deps.Now()).String(), TakenOver: true,
	})
}

// checkLive refuses a generation whose place another one has taken. Called after the
// group has been joined it cannot be too early: whoever takes the place keeps the
// group to himself until it is written that he has.
func checkLive(ctx context.Context, cfg *Config, deps *Deps) error {
	all, err := readGenerations(ctx, cfg, deps)
	if err != nil {
		return err
	}
	_, err = all.role(cfg)
	return err
}
