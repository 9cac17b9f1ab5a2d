// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lapwing/schemas/topics"
)

// propagation is how long a topic that was just created may stay unknown.
const propagation = 10 * time.Second

// EnsureTopics creates those of Lapwing's topics that are missing, then checks them
// all, as CheckTopics does. Inputs are never created.
func EnsureTopics(ctx context.Context, client *kgo.Client, cfg *Config) error {
	created, err := createTopics(ctx, client, cfg)
	if err != nil {
		return err
	}
	if created {
		return awaitTopics(ctx, client, cfg)
	}
	return CheckTopics(ctx, client, cfg)
}

// CreateTopics creates those of Lapwing's topics that are missing. Inputs are never
// created.
func CreateTopics(ctx context.Context, client *kgo.Client, cfg *Config) error {
	created, err := createTopics(ctx, client, cfg)
	if err != nil || !created {
		return err
	}
	// What else may be wrong is for an audit to say.
	if err := awaitTopics(ctx, client, cfg); errors.Is(err, kerr.UnknownTopicOrPartition) {
		return err
	}
	return context.Cause(ctx)
}

func createTopics(ctx context.Context, client *kgo.Client, cfg *Config) (created bool, err error) {
	have, err := describeTopics(ctx, client, cfg)
	if err != nil {
		return false, err
	}
	adm := kadm.NewClient(client)
	brokers, err := adm.ListBrokers(ctx)
	if err != nil {
		return false, fmt.Errorf("list brokers: %w", err)
	}
	replicas := cfg.Replication
	if replicas == -1 {
		if replicas, err = defaultReplicas(ctx, adm, brokers); err != nil {
			return false, err
		}
	}
	for _, t := range topics.All() {
		name := t.Full(cfg.Prefix)
		if !errors.Is(have[name].err, kerr.UnknownTopicOrPartition) {
			continue
		}
		configs := map[string]*string{}
		for k, v := range t.Config(replicas) {
			configs[k] = kadm.StringPtr(v)
		}
		_, err := adm.CreateTopic(ctx, t.Partitions(cfg.Lanes), cfg.Replication, configs, name)
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) { // another instance was faster
			return created, fmt.Errorf("create topic %s: %w", name, err)
		}
		created = true
	}
	return created, nil
}

// defaultReplicas is how many replicas the cluster gives a topic that does not say.
// Taking a greater number for granted would ask for more in-sync replicas than a topic
// has, and nothing could be written to it.
func defaultReplicas(ctx context.Context, adm *kadm.Client, brokers kadm.BrokerDetails) (int16, error) {
	replicas := int16(min(3, len(brokers)))
	answers, err := adm.DescribeBrokerConfigs(ctx, brokers.NodeIDs()...)
	if errors.Is(err, kerr.ClusterAuthorizationFailed) {
		return 1, nil // not told: the careful guess; an audit says if more would be right
	}
	if err != nil {
		return 0, fmt.Errorf("ask for the default number of replicas: %w", err)
	}
	for _, broker := range answers {
		if n, err := strconv.ParseInt(settings(broker.Configs)["default.replication.factor"], 10, 16); err == nil {
			replicas = min(replicas, int16(n))
		}
	}
	return replicas, nil
}

// awaitTopics checks until all topics are known to the broker that answers.
func awaitTopics(ctx context.Context, client *kgo.Client, cfg *Config) error {
	problems := CheckTopics(ctx, client, cfg)
	for tries, until := 0, time.Now().Add(propagation); errors.Is(problems, kerr.UnknownTopicOrPartition) && time.Now().Before(until); tries++ {
		timer := time.NewTimer(retryBackoff(tries))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
		problems = CheckTopics(ctx, client, cfg)
	}
	return problems
}

// CheckTopics reports every topic that is missing or has another number of
// partitions than there are lanes, and what to do about it.
func CheckTopics(ctx context.Context, client *kgo.Client, cfg *Config) error {
	have, err := describeTopics(ctx, client, cfg)
	if err != nil {
		return err
	}
	var problems []error
	check := func(topic string, lanes bool, missing, wrong string) {
		switch d := have[topic]; {
		case errors.Is(d.err, kerr.UnknownTopicOrPartition):
			problems = append(problems, fmt.Errorf("topic %s does not exist: %s: %w", topic, missing, d.err))
		case d.err != nil:
			problems = append(problems, fmt.Errorf("describe topic %s: %w", topic, d.err))
		case lanes && d.partitions != cfg.Lanes:
			problems = append(problems, fmt.Errorf("topic %s has %d partitions, lanes is %d: %s", topic, d.partitions, cfg.Lanes, wrong))
		}
	}
	for _, t := range topics.All() {
		check(t.Full(cfg.Prefix), t.Lanes, "create it with `lapwing topics --apply`",
			"customers would change their lanes; set lanes to what the topics have, or start again under another prefix")
	}
	for _, in := range cfg.Inputs {
		check(in.Topic, in.Keyed, "create it, or take it out of inputs",
			"a keyed input needs one partition per lane; in a generation that has not run yet, set keyed: false and the router will carry its events, "+
				"or set lanes to what the topics have; else run another generation")
	}
	return errors.Join(problems...)
}

// topicState is what the cluster says of a topic.
type topicState struct {
	partitions int32
	replicas   int16 // of the partition that has fewest
	err        error // kerr.UnknownTopicOrPartition if there is none
}

// describeTopics asks the cluster itself: what the client remembers may be of before
// a topic was created.
func describeTopics(ctx context.Context, client *kgo.Client, cfg *Config) (map[string]topicState, error) {
	names := append(cfg.keyed(), cfg.routed()...)
	for _, t := range topics.All() {
		names = append(names, t.Full(cfg.Prefix))
	}
	req := kmsg.NewPtrMetadataRequest()
	have := map[string]topicState{}
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, t)
		have[name] = topicState{err: kerr.UnknownTopicOrPartition}
	}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("describe topics: %w", err)
	}
	for _, t := range resp.Topics {
		if t.Topic == nil {
			continue
		}
		d := topicState{partitions: int32(len(t.Partitions)), err: kerr.ErrorForCode(t.ErrorCode)}
		for _, p := range t.Partitions {
			if n := int16(len(p.Replicas)); d.replicas == 0 || n < d.replicas {
				d.replicas = n
			}
		}
		have[*t.Topic] = d
	}
	return have, nil
}

// partitionCounts is how many partitions each routed input has.
func partitionCounts(ctx context.Context, client *kgo.Client, cfg *Config) (map[string]int32, error) {
	have, err := describeTopics(ctx, client, cfg)
	if err != nil {
		return nil, err
	}
	counts := map[string]int32{}
	for _, topic := range cfg.routed() {
		if err := have[topic].err; err != nil {
			return nil, fmt.Errorf("describe input %s: %w", topic, err)
		}
		counts[topic] = have[topic].partitions
	}
	return counts, nil
}
