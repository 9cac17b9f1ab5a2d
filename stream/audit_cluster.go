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
	"github.com/twmb/franz-go/pkg/kmsg"
)

// brokerRule is one setting of the brokers that the service depends on.
type brokerRule struct {
	setting string
	fits    func(is int64) bool // for numbers; else value is compared
	value   string
	want    string
	why     string
	dynamic bool // a running broker takes another value
	atRisk  bool
	set     string // such a value
}

const (
	// minOffsetsRetention and minIDExpiration are Kafka's defaults or less: a weekend
	// and then some for offsets, a day for transactional ids.
	minOffsetsRetention = 7 * 24 * time.Hour
	minIDExpiration     = 24 * time.Hour
)

// brokerRules are in the order in which they are reported.
func brokerRules(cfg *Config, brokers int) []brokerRule {
	ms := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	replicas := int64(min(3, brokers))
	rules := []brokerRule{
		{
			setting: "transaction.max.timeout.ms", want: "at least transaction_timeout, " + ms(cfg.TransactionTimeout),
			fits: func(is int64) bool { return is >= cfg.TransactionTimeout.Milliseconds() }, set: ms(cfg.TransactionTimeout),
			why: "the broker refuses our transactions",
		},
		{
			setting: "group.min.session.timeout.ms", want: "at most session_timeout, " + ms(cfg.SessionTimeout),
			fits: func(is int64) bool { return is <= cfg.SessionTimeout.Milliseconds() }, set: ms(cfg.SessionTimeout),
			why: "the broker refuses our group members; or raise stream.session_timeout",
		},
		{
			setting: "group.max.session.timeout.ms", want: "at least session_timeout, " + ms(cfg.SessionTimeout),
			fits: func(is int64) bool { return is >= cfg.SessionTimeout.Milliseconds() }, set: ms(cfg.SessionTimeout),
			why: "the broker refuses our group members; or lower stream.session_timeout",
		},
		{
			setting: "offsets.retention.minutes", want: fmt.Sprintf("at least %d, 7 days", int(minOffsetsRetention.Minutes())), atRisk: true,
			fits: func(is int64) bool { return is >= int64(minOffsetsRetention.Minutes()) }, set: strconv.Itoa(int(minOffsetsRetention.Minutes())),
			why: "a service that is off for longer loses its positions and does not start again by itself",
		},
		{
			setting: "transactional.id.expiration.ms", want: "at least " + ms(minIDExpiration) + ", a day", atRisk: true,
			fits: func(is int64) bool { return is >= minIDExpiration.Milliseconds() }, set: ms(7 * 24 * time.Hour),
			why: "sessions without anything to write are broken and rebuilt",
		},
		{
			setting: "unclean.leader.election.enable", value: "false", want: "false", set: "false", atRisk: true, dynamic: true,
			why: "a replica that lags may become leader, and acknowledged transactions are lost",
		},
		{
			setting: "log.cleaner.enable", value: "true", want: "true", set: "true", atRisk: true,
			why: "compacted topics grow without end",
		},
	}
	if replicas < 2 {
		return rules // one broker has nobody to copy to
	}
	least := min(2, replicas-1)
	return append(rules, brokerRule{
		setting: "transaction.state.log.replication.factor", want: fmt.Sprintf("at least %d", replicas), atRisk: true,
		fits: func(is int64) bool { return is >= replicas }, set: strconv.FormatInt(replicas, 10),
		why: "what is known of transactions is lost with a broker (kafka-reassign-partitions.sh raises it for __transaction_state as it is)",
	}, brokerRule{
		setting: "offsets.topic.replication.factor", want: fmt.Sprintf("at least %d", replicas), atRisk: true,
		fits: func(is int64) bool { return is >= replicas }, set: strconv.FormatInt(replicas, 10),
		why: "positions of groups are lost with a broker (kafka-reassign-partitions.sh raises it for __consumer_offsets as it is)",
	}, brokerRule{
		setting: "transaction.state.log.min.isr", want: fmt.Sprintf("at least %d", least), atRisk: true,
		fits: func(is int64) bool { return is >= least }, set: strconv.FormatInt(least, 10),
		why: "a commit that only one broker has counts as done and is lost with it",
	})
}

// auditCluster checks versions, features and settings of all brokers.
func auditCluster(ctx context.Context, adm *kadm.Client, cfg *Config, brokers kadm.BrokerDetails) ([]Problem, error) {
	versions, err := adm.ApiVersions(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for the brokers' versions: %w", err)
	}
	found := auditVersions(versions.Sorted())
	answers, err := adm.DescribeBrokerConfigs(ctx, brokers.NodeIDs()...)
	switch {
	case errors.Is(err, kerr.ClusterAuthorizationFailed):
		return append(found, Problem{
			Setting: "brokers' settings", Is: "not told", Want: "known", AtRisk: true,
			Why: "they cannot be checked", Change: "allow this user DescribeConfigs on the cluster",
		}), nil
	case err != nil:
		return nil, fmt.Errorf("describe the settings of brokers: %w", err)
	}
	slices.SortFunc(answers, func(a, b kadm.ResourceConfig) int { return compareNumbers(a.Name, b.Name) })
	for _, rule := range brokerRules(cfg, len(brokers)) {
		for _, broker := range answers {
			if broker.Err != nil {
				continue
			}
			if p, wrong := rule.check(broker.Name, settings(broker.Configs)); wrong {
				found = append(found, p)
				break // the others are most likely the same
			}
		}
	}
	return found, nil
}

func compareNumbers(a, b string) int {
	x, _ := strconv.Atoi(a) // node ids; anything else sorts first
	y, _ := strconv.Atoi(b)
	return x - y
}

func (r *brokerRule) check(broker string, have map[string]string) (Problem, bool) {
	is, told := have[r.setting]
	if !told {
		return Problem{}, false
	}
	if r.fits == nil {
		if is == r.value {
			return Problem{}, false
		}
	} else if n, err := strconv.ParseInt(is, 10, 64); err != nil || r.fits(n) {
		return Problem{}, false
	}
	change := fmt.Sprintf("set %s=%s in server.properties of every broker and restart them", r.setting, r.set)
	if r.dynamic {
		change = fmt.Sprintf("kafka-configs.sh --alter --entity-type brokers --entity-default --add-config %s=%s", r.setting, r.set)
	}
	return Problem{Setting: r.setting, Is: is + " on broker " + broker, Want: r.want, Why: r.why, Change: change, AtRisk: r.atRisk}, true
}

// auditVersions checks what requests and features the brokers know.
func auditVersions(versions []kadm.BrokerApiVersions) []Problem {
	const fencedCommits = 3 // TxnOffsetCommit with member and generation
	for _, v := range versions {
		if v.Err != nil {
			return []Problem{{
				Setting: "version", Is: fmt.Sprintf("unknown: broker %d: %v", v.NodeID, v.Err), Want: "2.5 or later", AtRisk: true,
				Why: "it cannot be checked", Change: "see to it that the broker can be reached",
			}}
		}
		if latest, known := v.KeyMaxVersion(kmsg.TxnOffsetCommit.Int16()); !known || latest < fencedCommits {
			return []Problem{{
				Setting: "version", Is: fmt.Sprintf("%s on broker %d", v.VersionGuess(), v.NodeID), Want: "2.5 or later",
				Why:    "a worker that was thrown out of its group could still commit (KIP-447)",
				Change: "upgrade the brokers",
			}}
		}
	}
	for _, v := range versions {
		supported, finalized := features(v.Raw())
		if supported >= wantTransactions && finalized < wantTransactions {
			return []Problem{{
				Setting: transactionVersion, Is: strconv.Itoa(int(finalized)), Want: strconv.Itoa(wantTransactions), AtRisk: true,
				Why:    "the end of a transaction that is delayed on its way may end the next one",
				Change: fmt.Sprintf("kafka-features.sh upgrade --feature %s=%d", transactionVersion, wantTransactions),
			}}
		}
	}
	return nil
}

const (
	transactionVersion = "transaction.version"
	wantTransactions   = 2
)

// features are the levels of transaction.version: the highest a broker could, and the
// one in force; 0 if there is none.
func features(r *kmsg.ApiVersionsResponse) (supported, finalized int16) {
	for _, f := range r.SupportedFeatures {
		if f.Name == transactionVersion {
			supported = f.MaxVersion
		}
	}
	for _, f := range r.FinalizedFeatures {
		if f.Name == transactionVersion {
			finalized = f.MaxVersionLevel
		}
	}
	return supported, finalized
}
