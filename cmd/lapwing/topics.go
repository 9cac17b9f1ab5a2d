// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

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
		keep := map[string]*string{"retention.ms": kadm.StringPtr("-1"), "retention.bytes": kadm.StringPtr("-1")}
		_, err := admin.CreateTopic(ctx, c.Lanes, c.Replication, keep, in.Topic)
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("create the input topic %s: %w", in.Topic, err)
		}
	}
	return nil
}

func (a *app) topicsCommand() *cobra.Command {
	var path, format string
	var apply, long, strict bool
	c := &cobra.Command{
		Use:   "topics -c FILE",
		Short: "Check the Kafka topics, or create and change what does not fit",
		Long: `Lists every topic of Lapwing and every input, and compares the cluster with what the
configuration needs: topics, partitions, retention, compaction, replicas, and the
brokers' settings for transactions and groups. Changes nothing unless --apply is given:
that creates what is missing and changes settings of topics that differ. Partitions,
replicas and brokers it never changes; what to do about those is said.

Exit code 1 means that something is missing or differs. What works but may cost data
later is "at risk": exit code 1 with --strict.`,
		Example: "  lapwing topics -c lapwing.yaml\n  lapwing topics -c lapwing.yaml --apply\n  lapwing topics -c lapwing.yaml --format json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if path == "" {
				return usageError("say which file: -c lapwing.yaml")
			}
			if format != "table" && format != "json" {
				return usageError("--format %q is no format: want table or json", format)
			}
			c, err := a.loadConfig(path)
			if err != nil {
				return err
			}
			audit, err := auditTopics(cmd.Context(), c, apply)
			if err != nil {
				return err
			}
			return a.printTopics(audit, format, long, strict)
		},
	}
	c.Flags().StringVarP(&path, "config", "c", "", "the configuration file")
	c.Flags().BoolVar(&apply, "apply", false, "create what is missing, change settings of topics that differ")
	c.Flags().StringVar(&format, "format", "table", "table or json")
	c.Flags().BoolVar(&long, "long", false, "say what each topic holds")
	c.Flags().BoolVar(&strict, "strict", false, "what is at risk fails, too")
	return c
}

// auditTopics compares the cluster with the configuration, after putting right what can be if apply is set.
func auditTopics(ctx context.Context, c *config, apply bool) (*stream.Audit, error) {
	opts, err := c.Kafka.options()
	if err != nil {
		return nil, err
	}
	if err := reach(ctx, c.Kafka.Brokers, opts); err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(c.Kafka.Brokers...)}, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("create the Kafka client: %w", err)
	}
	defer client.Close()
	if apply {
		if err := createInputs(ctx, client, &c.Stream); err != nil {
			return nil, err
		}
		if err := stream.CreateTopics(ctx, client, &c.Stream); err != nil {
			return nil, err
		}
	}
	audit, err := stream.AuditTopics(ctx, client, &c.Stream)
	if err != nil || !apply {
		return audit, err
	}
	if err := stream.ApplyAudit(ctx, client, audit); err != nil {
		return nil, err
	}
	return stream.AuditTopics(ctx, client, &c.Stream)
}

func (a *app) printTopics(audit *stream.Audit, format string, long, strict bool) error {
	failed, risks := audit.Failed()
	var text []byte
	if format == "json" {
		var err error
		if text, err = json.MarshalIndent(audit, "", "  "); err != nil {
			return fmt.Errorf("encode the list: %w", err)
		}
		text = append(text, '\n')
	} else {
		text = topicsTable(audit, long)
		if failed+risks == 0 {
			text = append(text, "all topics are as they should be\n"...)
		}
	}
	if _, err := a.stdout.Write(text); err != nil {
		return fmt.Errorf("write the list: %w", err)
	}
	switch {
	case failed > 0 && audit.CanApply():
		return fmt.Errorf("%s; `lapwing topics --apply` puts right what it can", counted(failed, risks))
	case failed > 0:
		return fmt.Errorf("%s; nothing of it can be put right by --apply: see above", counted(failed, risks))
	case risks > 0 && strict:
		return errors.New(counted(failed, risks))
	}
	return nil
}

func counted(failed, risks int) string {
	var words []string
	for _, c := range []struct {
		n         int
		one, many string
	}{{failed, "1 thing is missing or differs", "%d things are missing or differ"}, {risks, "1 is at risk", "%d are at risk"}} {
		switch {
		case c.n == 1:
			words = append(words, c.one)
		case c.n > 1:
			words = append(words, fmt.Sprintf(c.many, c.n))
		}
	}
	return strings.Join(words, ", ")
}

// topicsTable is the audit for people: a line per topic, and below it what is wrong.
func topicsTable(audit *stream.Audit, long bool) []byte {
	var b bytes.Buffer
	row := func(cells ...string) {
		line := fmt.Sprintf("%-26s %-12s %10s  %-14s %s", cells[0], cells[1], cells[2], cells[3], cells[4])
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	problems := func(list []stream.Problem) {
		for _, p := range list {
			mark := "✗"
			if p.AtRisk {
				mark = "!"
			}
			fmt.Fprintf(&b, "  %s %s is %s, should be %s\n      %s\n      to change it: %s\n", mark, p.Setting, p.Is, p.Want, p.Why, p.Change)
		}
	}
	row("TOPIC", "USE", "PARTITIONS", "KEPT", "STATE")
	for _, t := range audit.Topics {
		partitions := ""
		if t.Partitions > 0 {
			partitions = strconv.Itoa(int(t.Partitions))
		}
		row(t.Name, t.Use, partitions, t.Kept, string(t.State))
		if long && t.Holds != "" {
			fmt.Fprintf(&b, "    key: %s\n    %s\n", t.Key, t.Holds)
		}
		problems(t.Problems)
	}
	if len(audit.Cluster) > 0 {
		b.WriteString("BROKERS\n")
		problems(audit.Cluster)
	}
	return b.Bytes()
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
