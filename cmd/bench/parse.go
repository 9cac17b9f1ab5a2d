// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"lapwing/schemas/definition"
	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/presets"
	"lapwing/stream/lifecycle"
)

// parseCommand is this program's own child: see parser.
const parseCommand = "parse-child"

// parser is a program that only reads the input and decodes it, with Lapwing's client,
// decoder and projection: what any program on this topic has to do at least.
type parser struct{ label string }

func (s parser) name() string { return s.label }

func (s parser) output(place) string { return "" }

func (s parser) prepare(context.Context, *bench, place) error { return nil }

func (s parser) start(_ context.Context, b *bench, p place) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	return startChild(s.label, p.log(), nil, self, parseCommand, b.bootstrap, p.input, p.id, strconv.Itoa(b.slots))
}

func (s parser) goals(ctx context.Context, b *bench, p place) ([]goal, error) {
	ends, err := endOffsets(ctx, b.adm, p.input)
	if err != nil {
		return nil, err
	}
	return []goal{{p.id, p.input, func(context.Context) (offsets, error) { return ends, nil }}}, nil
}

func parseChild() *cobra.Command {
	return &cobra.Command{
		Use:    parseCommand + " BOOTSTRAP TOPIC GROUP READERS",
		Hidden: true,
		Args:   cobra.ExactArgs(4),
		RunE: func(cmd *cobra.Command, args []string) error {
			readers, err := strconv.Atoi(args[3])
			if err != nil {
				return usageError{fmt.Errorf("READERS is %q: want a number", args[3])}
			}
			source, _ := presets.Get("customer-value")
			def, problems := definition.Parse("preset:customer-value", source)
			if definition.HasErrors(problems) {
				return fmt.Errorf("read the preset: %v", problems)
			}
			model, problems := lifecycle.Compile(def)
			if definition.HasErrors(problems) {
				return fmt.Errorf("compile the preset: %v", problems)
			}
			group, ctx := errgroup.WithContext(cmd.Context())
			for range readers {
				group.Go(func() error { return parse(ctx, args[0], args[1], args[2], model.Projection()) })
			}
			return group.Wait()
		},
	}
}

// parse is one member of the group; it reads until ctx ends.
func parse(ctx context.Context, bootstrap, topic, group string, projection *event.Projection) error {
	client, err := newClient(bootstrap, kgo.ConsumeTopics(topic), kgo.ConsumerGroup(group), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.AutoCommitInterval(100*time.Millisecond),                                                        // the least that the client allows, and what the others do
		kgo.FetchMaxBytes(16<<20), kgo.FetchMaxPartitionBytes(4<<20), kgo.FetchMaxWait(20*time.Millisecond)) // as package stream reads
	if err != nil {
		return err
	}
	defer client.Close()
	decoder := event.NewDecoder(projection, event.DefaultLimits())
	var message event.Message
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read topic %s: %w", topic, err)
		}
		for record := range fetches.RecordsAll() {
			if cause := decoder.Decode(record.Value, instant.Instant(record.Timestamp.UnixMilli()), &message); cause != "" {
				return errors.New("an event of the backlog cannot be used: " + string(cause))
			}
		}
	}
}
