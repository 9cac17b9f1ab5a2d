// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"lapwing/deploy/embedded/kafkatest"
	"lapwing/schemas/topics"
)

// audit is the world's audit, as "topic setting: is → want".
func (w *world) audit() (a *Audit, problems []string) {
	w.t.Helper()
	a, err := AuditTopics(w.t.Context(), w.client(), &w.cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	say := func(topic string, p Problem) {
		text := fmt.Sprintf("%s %s: %s → %s", topic, p.Setting, p.Is, p.Want)
		if p.AtRisk {
			text += " (at risk)"
		}
		problems = append(problems, strings.TrimSpace(text))
		if p.Why == "" || p.Change == "" {
			w.t.Errorf("%s: says neither why nor what to do: %+v", text, p)
		}
	}
	for _, t := range a.Topics {
		if (t.State == TopicOK) != (len(t.Problems) == 0) {
			w.t.Errorf("%s is %s with %d problems", t.Name, t.State, len(t.Problems))
		}
		for _, p := range t.Problems {
			say(t.Name, p)
		}
	}
	for _, p := range a.Cluster {
		say("", p)
	}
	return a, problems
}

func (w *world) setTopic(topic string, pairs ...string) {
	w.t.Helper()
	var changes []kadm.AlterConfig
	for i := 0; i < len(pairs); i += 2 {
		changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: pairs[i], Value: kadm.StringPtr(pairs[i+1])})
	}
	answers, err := kadm.NewClient(w.client()).AlterTopicConfigs(w.t.Context(), changes, topic)
	if err != nil || len(answers) != 1 || answers[0].Err != nil {
		w.t.Fatalf("set %v of %s: %v %v", pairs, topic, err, answers)
	}
}

// What EnsureTopics makes is as it should be; every setting that somebody changed is
// found, with what it is and should be; applying puts right what differs and nothing else.
func TestAuditFindsAndCures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) {
			c.Inputs = []Input{{Topic: "events", Keyed: true}, {Topic: "other"}}
		})
		if a, problems := w.audit(); len(problems) > 0 || len(a.Topics) != len(topics.All())+2 {
			t.Fatalf("%d topics as they were made: %q", len(a.Topics), problems)
		}
		w.setTopic("lapwing.mailbox", "retention.ms", "604800000", "segment.ms", "12345")
		w.setTopic("lapwing.state", "cleanup.policy", "compact,delete", "delete.retention.ms", "1000")
		w.setTopic("lapwing.profiles", "max.message.bytes", "1000000")
		w.setTopic("lapwing.stage-changes", "message.timestamp.type", "LogAppendTime", "retention.ms", "31536000000")
		w.setTopic("lapwing.history", "min.insync.replicas", "2")
		w.setTopic("other", "cleanup.policy", "compact")
		a, problems := w.audit()
		want := []string{
			"lapwing.stage-changes message.timestamp.type: LogAppendTime → CreateTime",
			"lapwing.profiles max.message.bytes: 1000000 → at least 8388608",
			"lapwing.history min.insync.replicas: 2 → at most 1, its replicas",
			"lapwing.mailbox retention.ms: 604800000 → -1",
			"lapwing.state cleanup.policy: compact,delete → compact",
			"lapwing.state delete.retention.ms: 1000 → at least 86400000",
			"other cleanup.policy: compact → delete (at risk)",
		}
		if !slices.Equal(problems, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(problems, "\n"), strings.Join(want, "\n"))
		}
		if failed, risks := a.Failed(); failed != 6 || risks != 1 || !a.CanApply() {
			t.Errorf("%d failed, %d at risk, can apply %v", failed, risks, a.CanApply())
		}
		if err := ApplyAudit(t.Context(), w.client(), a); err != nil {
			t.Fatal(err)
		}
		if a, problems := w.audit(); len(problems) != 1 || a.CanApply() { // the input is somebody else's
			t.Errorf("after applying: %q", problems)
		}
		configs, err := kadm.NewClient(w.client()).DescribeTopicConfigs(t.Context(), "lapwing.mailbox", "lapwing.stage-changes")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range configs {
			have := settings(c.Configs)
			if c.Name == "lapwing.mailbox" && have["segment.ms"] != "12345" || c.Name == "lapwing.stage-changes" && have["retention.ms"] != "31536000000" {
				t.Errorf("%s: applying changed what was not wrong: %v", c.Name, have)
			}
		}
	})
}

// Partitions are refused with what to do, and never changed.
func TestAuditOfPartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), func(c *Config) {
			c.Inputs = []Input{{Topic: "events", Keyed: true}, {Topic: "other"}}
		})
		w.cfg.Lanes = 5
		w.cfg.Inputs = append(w.cfg.Inputs, Input{Topic: "absent"})
		a, problems := w.audit()
		for _, want := range []string{
			"events partitions: 4 → 5, as many as lanes", "lapwing.state partitions: 4 → 5, as many as lanes", "absent topic: missing → there",
		} {
			if !slices.Contains(problems, want) {
				t.Errorf("%q is not among %q", want, problems)
			}
		}
		if slices.ContainsFunc(problems, func(p string) bool { return strings.HasPrefix(p, "other ") }) {
			t.Errorf("a routed input may have any number of partitions: %q", problems)
		}
		if err := ApplyAudit(t.Context(), w.client(), a); err != nil {
			t.Fatal(err)
		}
		if _, after := w.audit(); !slices.Equal(after, problems) {
			t.Errorf("applying changed partitions: %q", after)
		}
	})
}

// The brokers' settings, each with a value that does not do.
func TestAuditOfBrokers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, customerValue(t), nil)
		set := func(key, value string) {
			answers, err := kadm.NewClient(w.client()).AlterBrokerConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: &value}})
			if err != nil || answers[0].Err != nil {
				t.Fatalf("%s=%s: %v %v", key, value, err, answers)
			}
		}
		set("transaction.max.timeout.ms", "9999")
		set("transactional.id.expiration.ms", "3600000")
		set("offsets.retention.minutes", "1440")
		set("group.min.session.timeout.ms", "15001")
		set("group.max.session.timeout.ms", "14999")
		_, problems := w.audit()
		want := []string{
			"transaction.max.timeout.ms: 9999 on broker 0 → at least transaction_timeout, 10000",
			"group.min.session.timeout.ms: 15001 on broker 0 → at most session_timeout, 15000",
			"group.max.session.timeout.ms: 14999 on broker 0 → at least session_timeout, 15000",
			"offsets.retention.minutes: 1440 on broker 0 → at least 10080, 7 days (at risk)",
			"transactional.id.expiration.ms: 3600000 on broker 0 → at least 86400000, a day (at risk)",
		}
		if !slices.Equal(problems, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(problems, "\n"), strings.Join(want, "\n"))
		}
	})
}

// Settings that kfake does not have, rule by rule, for clusters of one and three brokers.
func TestBrokerRules(t *testing.T) {
	for _, c := range []struct {
		brokers   int
		key, have string
		wrong     bool
	}{
		{3, "unclean.leader.election.enable", "true", true},
		{3, "unclean.leader.election.enable", "false", false},
		{3, "log.cleaner.enable", "false", true},
		{3, "transaction.state.log.replication.factor", "1", true},
		{3, "transaction.state.log.replication.factor", "3", false},
		{2, "transaction.state.log.replication.factor", "2", false},
		{1, "transaction.state.log.replication.factor", "1", false},
		{3, "transaction.state.log.min.isr", "1", true},
		{3, "transaction.state.log.min.isr", "2", false},
		{2, "transaction.state.log.min.isr", "1", false},
		{1, "transaction.state.log.min.isr", "1", false},
		{3, "offsets.topic.replication.factor", "1", true},
	} {
		cfg := testConfig([]string{"a:1"})
		wrong := false
		for _, r := range brokerRules(&cfg, c.brokers) {
			p, found := r.check("1", map[string]string{c.key: c.have})
			wrong = wrong || found
			if found && (!strings.Contains(p.Change, c.key+"="+r.set) || p.Why == "" || !p.AtRisk) {
				t.Errorf("%s=%s: %+v", c.key, c.have, p)
			}
		}
		if wrong != c.wrong {
			t.Errorf("%s=%s with %d brokers: wrong is %v", c.key, c.have, c.brokers, wrong)
		}
	}
}

// Pinned offsets need a broker that checks them (2.5); a delayed end of a transaction
// needs transaction.version 2.
func TestAuditOfVersions(t *testing.T) {
	ask := func(t *testing.T, opts ...kfake.Opt) []Problem {
		w := &world{t: t}
		w.dial = w.network.DialContext
		cluster, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1), kfake.ListenFn(w.network.Listen))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cluster.Close)
		w.cfg.Brokers = cluster.ListenAddrs()
		versions, err := kadm.NewClient(w.client()).ApiVersions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return auditVersions(versions.Sorted())
	}
	for _, c := range []struct {
		name     string
		versions *kversion.Versions
		want     string
	}{
		{"2.4", kversion.V2_4_0(), "version: 2.5 or later"},
		{"2.5", kversion.V2_5_0(), ""},
		{"newest", kversion.Stable(), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := ""
				for _, p := range ask(t, kfake.MaxVersions(c.versions)) {
					got += p.Setting + ": " + p.Want
				}
				if got != c.want {
					t.Errorf("problems %q, want %q", got, c.want)
				}
			})
		})
	}
	t.Run("transaction.version 1", func(t *testing.T) {
		r := kmsg.NewPtrApiVersionsResponse()
		r.SupportedFeatures = []kmsg.ApiVersionsResponseSupportedFeature{{Name: "transaction.version", MaxVersion: 2}}
		r.FinalizedFeatures = []kmsg.ApiVersionsResponseFinalizedFeature{{Name: "transaction.version", MaxVersionLevel: 1}}
		if supported, finalized := features(r); supported != 2 || finalized != 1 {
			t.Errorf("features %d and %d, want 2 and 1", supported, finalized)
		}
	})
}

// A real Kafka tells its settings by the names the rules know.
func TestAuditOnRealKafka(t *testing.T) {
	k := kafkatest.Start(t)
	cfg := testConfig([]string{k.Addr()})
	w := &world{t: t, cfg: cfg}
	w.dial = new(net.Dialer).DialContext
	client := w.client()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), cfg.Lanes, 1, nil, "events"); err != nil {
		t.Fatal(err)
	}
	if err := EnsureTopics(context.Background(), client, &cfg); err != nil {
		t.Fatal(err)
	}
	if a, problems := w.audit(); len(problems) > 0 {
		t.Errorf("a broker with Kafka's defaults: %q %+v", problems, a.Cluster)
	}
	w.setTopic("lapwing.mailbox", "retention.ms", "1000", "unclean.leader.election.enable", "true")
	a, problems := w.audit()
	if want := []string{"lapwing.mailbox retention.ms: 1000 → -1", "lapwing.mailbox unclean.leader.election.enable: true → false"}; !slices.Equal(problems, want) {
		t.Errorf("got %q, want %q", problems, want)
	}
	if err := ApplyAudit(t.Context(), client, a); err != nil {
		t.Fatal(err)
	}
	if _, problems := w.audit(); len(problems) > 0 {
		t.Errorf("after applying: %q", problems)
	}
	brokers, err := kadm.NewClient(client).ListBrokers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	answers, err := kadm.NewClient(client).DescribeBrokerConfigs(t.Context(), brokers.NodeIDs()...)
	if err != nil {
		t.Fatal(err)
	}
	have := settings(answers[0].Configs)
	for _, r := range brokerRules(&cfg, 3) {
		if _, told := have[r.setting]; !told {
			t.Errorf("the broker knows no setting %s", r.setting)
		}
	}
}
