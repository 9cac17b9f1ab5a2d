// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/topics"
	"lapwing/stream"
)

// createInputs makes input topics that are missing, with a partition per lane, so that
// a first start on an empty cluster works. Existing ones are left as they are.
func (s *service) createInputs(ctx context.Context) error {
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.config.Kafka.Brokers...)}, s.kafka...)...)
	if err != nil {
		return fmt.Errorf("create the Kafka client: %w", err)
	}
	defer client.Close()
	return createInputs(ctx, client, &s.config.Stream)
}

func createInputs(ctx context.Context, client *kgo.Client, c *stream.Config) error {
	admin := kadm.NewClient(client)
	for _, in := range c.Inputs {
		// Events are kept for ever unless an operator says otherwise: history is what a
		// new definition is computed from.
		keep := map[string]*string{"retention.ms": kadm.StringPtr("-1")}
		_, err := admin.CreateTopic(ctx, c.Lanes, c.Replication, keep, in.Topic)
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("create the input topic %s: %w", in.Topic, err)
		}
	}
	return nil
}

func (a *app) topicsCommand() *cobra.Command {
	var path string
	var apply bool
	c := &cobra.Command{
		Use:   "topics -c FILE",
		Short: "Check the Kafka topics, or create those that are missing",
		Long: `Lists every topic of Lapwing with what it holds and how it is kept, and checks that the
cluster has them as they should be; changes nothing unless --apply is given. Exit code 1
means that something is missing or does not fit.`,
		Example: "  lapwing topics -c lapwing.yaml\n  lapwing topics -c lapwing.yaml --apply",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if path == "" {
				return usageError("say which file: -c lapwing.yaml")
			}
			c, err := a.loadConfig(path)
			if err != nil {
				return err
			}
			return a.topics(cmd.Context(), c, apply)
		},
	}
	c.Flags().StringVarP(&path, "config", "c", "", "the configuration file")
	c.Flags().BoolVar(&apply, "apply", false, "create what is missing")
	return c
}

func (a *app) topics(ctx context.Context, c *config, apply bool) error {
	opts, err := c.Kafka.options()
	if err != nil {
		return err
	}
	if err := reach(ctx, c.Kafka.Brokers, opts); err != nil {
		return err
	}
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.Kafka.Brokers...)}, opts...)...)
	if err != nil {
		return fmt.Errorf("create the Kafka client: %w", err)
	}
	defer client.Close()
	if apply {
		if err := createInputs(ctx, client, &c.Stream); err != nil {
			return err
		}
		if err := stream.EnsureTopics(ctx, client, &c.Stream); err != nil {
			return err
		}
	}
	for _, t := range topics.All() {
		public := "internal"
		if t.Public {
			public = "public"
		}
		_, err := fmt.Fprintf(a.stdout, "%-24s %-8s %3d partitions  %-26s key: %s\n    %s\n",
			t.Full(c.Kafka.Prefix), public, t.Partitions(c.Stream.Lanes), kept(&t), t.Key, t.Holds)
		if err != nil {
			return fmt.Errorf("write the list: %w", err)
		}
	}
	if err := stream.CheckTopics(ctx, client, &c.Stream); err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, "all topics are as they should be")
	return err
}

func kept(t *topics.Topic) string {
	switch {
	case t.Compact:
		return "compacted"
	case t.Forever:
		return "kept for ever"
	default:
		return fmt.Sprintf("kept %d days", t.Retention/(24*time.Hour))
	}
}

// publicKinds are the words of `tail` and the topics they stand for.
func publicKinds() map[string]topics.Topic {
	kinds := map[string]topics.Topic{}
	for _, t := range topics.All() {
		if t.Public {
			kinds[t.Name] = t
		}
	}
	return kinds
}

func kindNames() string { return strings.Join(slices.Sorted(maps.Keys(publicKinds())), ", ") }
