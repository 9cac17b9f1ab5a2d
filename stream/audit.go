// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/topics"
)

// TopicState is what an audit says of a topic.
type TopicState string

// The states of a topic, the better first.
const (
	TopicOK      TopicState = "ok"
	TopicAtRisk  TopicState = "at risk" // it works; what is written may be lost, or writing may stop
	TopicDiffers TopicState = "differs"
	TopicMissing TopicState = "missing"
)

// Audit is what the cluster has, compared with what a configuration needs.
type Audit struct {
	Topics  []TopicAudit `json:"topics"`
	Cluster []Problem    `json:"cluster"` // what is wrong with the brokers' settings
}

// TopicAudit is one topic: Lapwing's own, or an input.
type TopicAudit struct {
	Name       string     `json:"topic"`
	Use        string     `json:"use"` // public, internal, keyed input, routed input
	Partitions int32      `json:"partitions"`
	Replicas   int16      `json:"replicas"`
	Kept       string     `json:"kept"` // as the cluster keeps it
	State      TopicState `json:"state"`
	Problems   []Problem  `json:"problems"`
	Key        string     `json:"key,omitempty"`
	Holds      string     `json:"holds,omitempty"`
}

// Problem is something that is not as it should be, and what to do about it.
type Problem struct {
	Setting string `json:"setting"`
	Is      string `json:"is"`
	Want    string `json:"should_be"`
	Why     string `json:"why"`
	Change  string `json:"change"` // how to put it right
	// AtRisk: it works as it is, but something can be lost, or stop, later.
	AtRisk bool `json:"at_risk"`

	set string // the value that ApplyAudit writes; empty: it cannot
}

// applied is how a problem is put right that ApplyAudit can.
const applied = "`lapwing topics --apply` changes it"

// Failed counts what keeps Lapwing from working as promised, and risks what works but
// may cost something later.
func (a *Audit) Failed() (failed, risks int) {
	count := func(problems []Problem) {
		for _, p := range problems {
			if p.AtRisk {
				risks++
			} else {
				failed++
			}
		}
	}
	for _, t := range a.Topics {
		count(t.Problems)
	}
	count(a.Cluster)
	return failed, risks
}

// CanApply reports whether CreateTopics and ApplyAudit can put anything right.
func (a *Audit) CanApply() bool {
	for _, t := range a.Topics {
		if t.State == TopicMissing || slices.ContainsFunc(t.Problems, func(p Problem) bool { return p.set != "" }) {
			return true
		}
	}
	return false
}

// AuditTopics compares every topic and the settings of the brokers with what cfg
// needs. It changes nothing.
func AuditTopics(ctx context.Context, client *kgo.Client, cfg *Config) (*Audit, error) {
	have, err := describeTopics(ctx, client, cfg)
	if err != nil {
		return nil, err
	}
	adm := kadm.NewClient(client)
	configs, err := topicConfigs(ctx, adm, have)
	if err != nil {
		return nil, err
	}
	brokers, err := adm.ListBrokers(ctx)
	if err != nil {
		return nil, fmt.Errorf("list brokers: %w", err)
	}
	a := &Audit{Cluster: []Problem{}}
	for _, t := range topics.All() {
		name := t.Full(cfg.Prefix)
		a.Topics = append(a.Topics, auditOwn(cfg, &t, have[name], configs[name], len(brokers)))
	}
	for _, in := range cfg.Inputs {
		a.Topics = append(a.Topics, auditInput(cfg, in, have[in.Topic], configs[in.Topic]))
	}
	cluster, err := auditCluster(ctx, adm, cfg, brokers)
	if err != nil {
		return nil, err
	}
	a.Cluster = append(a.Cluster, cluster...)
	return a, nil
}

// ApplyAudit changes the settings of topics that differ, one by one, leaving the
// others as they are. Partitions, replicas and brokers are not its to change.
func ApplyAudit(ctx context.Context, client *kgo.Client, a *Audit) error {
	adm := kadm.NewClient(client)
	for i := range a.Topics {
		t := &a.Topics[i]
		var changes []kadm.AlterConfig
		for _, p := range t.Problems {
			if p.set != "" {
				changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: p.Setting, Value: kadm.StringPtr(p.set)})
			}
		}
		if len(changes) == 0 {
			continue
		}
		answers, err := adm.AlterTopicConfigs(ctx, changes, t.Name)
		if err == nil {
			_, err = answers.On(t.Name, func(r *kadm.AlterConfigsResponse) error { return r.Err })
		}
		if err != nil {
			return fmt.Errorf("change the settings of topic %s: %w", t.Name, err)
		}
	}
	return nil
}

// topicConfigs are the settings of the topics that exist, as far as the broker tells.
func topicConfigs(ctx context.Context, adm *kadm.Client, have map[string]topicState) (map[string]map[string]string, error) {
	var names []string
	for name, d := range have {
		if d.err == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	answers, err := adm.DescribeTopicConfigs(ctx, names...)
	if err != nil && !errors.Is(err, kerr.TopicAuthorizationFailed) {
		return nil, fmt.Errorf("describe the settings of topics: %w", err)
	}
	configs := map[string]map[string]string{}
	for _, r := range answers {
		if r.Err == nil {
			configs[r.Name] = settings(r.Configs)
		}
	}
	return configs, nil
}

func settings(configs []kadm.Config) map[string]string {
	s := map[string]string{}
	for i := range configs {
		if configs[i].Value != nil {
			s[configs[i].Key] = *configs[i].Value
		}
	}
	return s
}

func auditOwn(cfg *Config, t *topics.Topic, have topicState, config map[string]string, brokers int) TopicAudit {
	a := TopicAudit{Name: t.Full(cfg.Prefix), Use: "internal", Key: t.Key, Holds: t.Holds}
	if t.Public {
		a.Use = "public"
	}
	if a.describe(have, config, "`lapwing topics --apply` creates it") {
		return a
	}
	if t.Lanes && have.partitions != cfg.Lanes {
		a.problem(Problem{
			Setting: "partitions", Is: strconv.Itoa(int(have.partitions)), Want: fmt.Sprintf("%d, as many as lanes", cfg.Lanes),
			Why:    "customers would change their lanes",
			Change: "set lanes to what the topics have; or run another generation, with topics of their own under another kafka.prefix",
		})
	}
	for _, d := range t.Differences(config, have.replicas) {
		a.problem(Problem{Setting: d.Key, Is: d.Have, Want: d.Want, Why: d.Why, AtRisk: d.Risk, Change: applied, set: d.Set})
	}
	a.oneReplica(have, brokers)
	return a
}

func auditInput(cfg *Config, in Input, have topicState, config map[string]string) TopicAudit {
	a := TopicAudit{Name: in.Topic, Use: "routed input"}
	if in.Keyed {
		a.Use = "keyed input"
	}
	if a.describe(have, config, "`lapwing topics --apply` creates it; or take it out of inputs") {
		return a
	}
	if in.Keyed && have.partitions != cfg.Lanes {
		a.problem(Problem{
			Setting: "partitions", Is: strconv.Itoa(int(have.partitions)), Want: fmt.Sprintf("%d, as many as lanes", cfg.Lanes),
			Why:    "a lane reads the partition with its own number",
			Change: "in a generation that has not run yet, set keyed: false, and the router carries its events, or set lanes; else run another generation",
		})
	}
	if policy := config["cleanup.policy"]; policy != "" && policy != "delete" {
		a.problem(Problem{
			Setting: "cleanup.policy", Is: policy, Want: "delete", AtRisk: true,
			Why:    "compaction drops events of a customer that were not read yet",
			Change: "change it, if nobody else needs it compacted",
		})
	}
	return a
}

// describe notes what the cluster has; it reports whether there is no more to say.
func (a *TopicAudit) describe(have topicState, config map[string]string, create string) (done bool) {
	a.State, a.Problems = TopicOK, []Problem{}
	if have.err != nil {
		a.State = TopicMissing
		p := Problem{Setting: "topic", Is: "missing", Want: "there", Why: "nothing can be read or written", Change: create}
		if !errors.Is(have.err, kerr.UnknownTopicOrPartition) {
			a.State = TopicDiffers
			p.Is, p.Change = have.err.Error(), "allow this user to describe, read and write it"
		}
		a.Problems = append(a.Problems, p)
		return true
	}
	a.Partitions, a.Replicas, a.Kept = have.partitions, have.replicas, kept(config)
	if config == nil {
		a.problem(Problem{
			Setting: "settings", Is: "not told", Want: "known", AtRisk: true,
			Why: "they cannot be checked", Change: "allow this user DescribeConfigs on the topic",
		})
	}
	return false
}

func (a *TopicAudit) problem(p Problem) {
	a.Problems = append(a.Problems, p)
	switch {
	case !p.AtRisk:
		a.State = TopicDiffers
	case a.State == TopicOK:
		a.State = TopicAtRisk
	}
}

// oneReplica finds a topic that one broker's end would take with it.
func (a *TopicAudit) oneReplica(have topicState, brokers int) {
	if brokers > 1 && have.replicas == 1 {
		a.problem(Problem{
			Setting: "replicas", Is: "1", Want: fmt.Sprintf("%d", min(3, brokers)), AtRisk: true,
			Why: "it is lost with its broker", Change: "kafka-reassign-partitions.sh gives it more",
		})
	}
}

// kept is how long a topic's records are kept, in words; empty if the broker does not tell.
func kept(config map[string]string) string {
	policy, told := config["cleanup.policy"]
	if !told {
		return ""
	}
	if policy == "compact" {
		return "compacted"
	}
	words := "for ever"
	if ms, err := strconv.ParseInt(config["retention.ms"], 10, 64); err == nil && ms >= 0 {
		words = duration(time.Duration(ms) * time.Millisecond)
	}
	if bytes := config["retention.bytes"]; bytes != "" && bytes != "-1" {
		words += ", at most " + bytes + " bytes"
	}
	if policy != "delete" {
		words = "compacted, " + words
	}
	return words
}

// duration is in the largest unit that divides it.
func duration(d time.Duration) string {
	for _, unit := range []struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "days"}, {time.Hour, "hours"}, {time.Minute, "minutes"}, {time.Second, "seconds"}} {
		if d >= unit.of && d%unit.of == 0 {
			return fmt.Sprintf("%d %s", d/unit.of, unit.name)
		}
	}
	return d.String()
}
