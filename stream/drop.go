// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/schemas/topics"
)

// ErrNeeded says that a generation's state is still needed by another.
var ErrNeeded = errors.New("the generation is still needed")

// Drop deletes what a generation under the configuration's prefix has left behind: its
// state (tombstones in the changelog, which compaction then frees), its groups with
// their positions, those of further groups of the same name and generation (a sink's),
// and its definition. The local stores of the others follow when their processes start.
// The live generation is refused, and so is one that runs, or that the live one has not
// taken over from yet. It may be called again at any time.
func Drop(ctx context.Context, cfg Config, deps Deps, generation uint32, further ...string) (records int64, err error) {
	deps.fill()
	all, err := readGenerations(ctx, &cfg, &deps)
	if err != nil {
		return 0, err
	}
	live, some := all.live()
	origin := cfg.origin()
	origin.Generation = generation
	switch {
	case generation == 0 || generation > maxGeneration:
		return 0, fmt.Errorf("generation %d: want 1 to %d", generation, maxGeneration)
	case some && live.Generation == generation:
		return 0, fmt.Errorf("generation %d of %s: %w: it is not dropped", generation, cfg.Prefix, ErrLive)
	case some && live.From != nil && *live.From == origin && !live.TakenOver:
		return 0, fmt.Errorf("generation %d of %s: %w: generation %d has not taken all lanes over from it: let `lapwing rebuild --switch` come to its end",
			generation, cfg.Prefix, ErrNeeded, live.Generation)
	}
	if ended := all[generation]; ended.State == generationEnded {
		there := cfg
		there.Prefix = ended.By.Prefix
		successors, err := readGenerations(ctx, &there, &deps)
		if err != nil {
			return 0, err
		}
		if !successors[ended.By.Generation].TakenOver {
			return 0, fmt.Errorf("generation %d of %s: %w: generation %d of %s has not taken all lanes over from it: let `lapwing rebuild --switch` come to its end",
				generation, cfg.Prefix, ErrNeeded, ended.By.Generation, ended.By.Prefix)
		}
	}
	of := cfg
	of.Generation, of.From = generation, Origin{}
	client, err := kgo.NewClient(clientOpts(&of, &deps, of.member("", 0)+"-drop")...)
	if err != nil {
		return 0, fmt.Errorf("create client: %w", err)
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	groups := append([]string{of.workerGroup(), of.routerGroup()}, further...)
	if err := unoccupied(ctx, adm, &of, groups); err != nil {
		return 0, err
	}
	// First of all: from now on none of its processes starts.
	err = writeGeneration(ctx, &of, &deps, generationRecord{
		Generation: generation, State: generationDropped, Since: instant.Of(deps.Now()).String(),
	})
	if err != nil {
		return 0, err
	}
	if records, err = dropState(ctx, &of, &deps, client); err != nil {
		return records, err
	}
	if err := dropDefinitions(ctx, &of, &deps); err != nil {
		return records, err
	}
	answers, err := adm.DeleteGroups(ctx, groups...)
	if err != nil {
		return records, fmt.Errorf("delete the groups of generation %d: %w", generation, err)
	}
	for _, a := range answers {
		if a.Err != nil && !errors.Is(a.Err, kerr.GroupIDNotFound) {
			return records, fmt.Errorf("delete group %s: %w", a.Group, a.Err)
		}
	}
	return records, nil
}

// dropState writes a tombstone for every key of the generation, partition by partition.
func dropState(ctx context.Context, of *Config, deps *Deps, client *kgo.Client) (records int64, err error) {
	topic := of.topic(topics.State)
	t, err := openTail(ctx, of, deps, topic)
	if err != nil {
		return 0, fmt.Errorf("read topic %s: %w", topic, err)
	}
	defer t.close()
	last := newFailure()
	for lane := range int32(len(t.ends[topic])) {
		keys := map[string]struct{}{}
		err := readToEnd(ctx, of, deps, topic, map[int32]int64{lane: 0}, func(r *kgo.Record) error {
			_, generation, _, err := mailbox.DecodeStateKey(r.Key)
			switch {
			case err != nil:
				return fmt.Errorf("partition %d offset %d: %w", r.Partition, r.Offset, err)
			case generation != of.Generation:
			case r.Value == nil:
				delete(keys, string(r.Key))
			default:
				keys[string(r.Key)] = struct{}{}
			}
			return nil
		})
		if err != nil {
			return records, fmt.Errorf("read topic %s: %w", topic, err)
		}
		for key := range keys {
			client.Produce(ctx, &kgo.Record{
				Topic: topic, Partition: lane, Key: []byte(key),
				Headers: []kgo.RecordHeader{{Key: generationHeader, Value: []byte(generationText(of))}},
			}, last.done)
		}
		if err := client.Flush(ctx); err != nil {
			return records, fmt.Errorf("write to topic %s: %w", topic, err)
		}
		if err := last.err(); err != nil {
			return records, fmt.Errorf("write to topic %s: %w", topic, err)
		}
		records += int64(len(keys))
	}
	return records, nil
}

// dropDefinitions deletes the records of the generation's definition.
func dropDefinitions(ctx context.Context, of *Config, deps *Deps) error {
	known, err := readDefinitions(ctx, of, deps)
	if err != nil {
		return err
	}
	for key, a := range known {
		if n, err := strconv.ParseUint(a.generation, 10, 32); err != nil || uint32(n) != of.Generation || strings.HasPrefix(key, generationKey) {
			continue
		}
		err := writeDefinitions(ctx, of, deps, &kgo.Record{
			Key: []byte(key), Headers: []kgo.RecordHeader{{Key: generationHeader, Value: []byte(generationText(of))}},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// failure keeps the first error of records that are produced beside each other.
type failure struct{ first chan error }

func newFailure() *failure { return &failure{first: make(chan error, 1)} }

func (f *failure) done(_ *kgo.Record, err error) {
	if err != nil {
		select {
		case f.first <- err:
		default:
		}
	}
}

func (f *failure) err() error {
	select {
	case err := <-f.first:
		return err
	default:
		return nil
	}
}
