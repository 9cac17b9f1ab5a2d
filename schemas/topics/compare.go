// SPDX-License-Identifier: Apache-2.0

package topics

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Difference is a setting of a topic that is not what the table asks for.
type Difference struct {
	Key  string // of the topic's configuration
	Have string
	Want string // in words: a value, or "at least" one
	Set  string // the value that puts it right
	Why  string // what the cluster's value leads to
	// Risk: it works as it is, but what is written can be lost, or writing can stop.
	Risk bool
}

// Differences compares a topic's configuration on the cluster with the table, for a
// topic that has so many replicas. A setting that the cluster does not tell is passed
// over. More than the table asks for is fine where more does no harm: a longer
// retention, a larger message.
func (t Topic) Differences(have map[string]string, replicas int16) []Difference {
	want := t.Config(replicas)
	want[uncleanElection] = "false"
	var found []Difference
	for _, key := range slices.Sorted(maps.Keys(want)) {
		is, told := have[key]
		if !told || fits(key, is, want[key]) {
			continue
		}
		d := Difference{Key: key, Have: is, Want: want[key], Set: want[key], Why: t.why(key)}
		if atLeast(key) && want[key] != unlimited {
			d.Want = "at least " + d.Want
		}
		found = append(found, d)
	}
	return append(found, tooStrict(have, replicas, want[minInsync])...)
}

const (
	cleanupPolicy   = "cleanup.policy"
	retentionMs     = "retention.ms"
	retentionBytes  = "retention.bytes"
	minInsync       = "min.insync.replicas"
	maxMessage      = "max.message.bytes"
	deleteRetention = "delete.retention.ms"
	timestampType   = "message.timestamp.type"
	// uncleanElection is not set when a topic is created, since brokers have it false
	// unless somebody turned it on.
	uncleanElection = "unclean.leader.election.enable"

	unlimited = "-1"
)

// tooStrict finds a topic to which nothing can be written, or nothing once one broker is away.
func tooStrict(have map[string]string, replicas int16, set string) []Difference {
	n, err := strconv.Atoi(have[minInsync])
	d := Difference{Key: minInsync, Have: have[minInsync], Set: set}
	switch {
	case err != nil || replicas < 1:
		return nil
	case n > int(replicas):
		d.Want = fmt.Sprintf("at most %d, its replicas", replicas)
		d.Why = "nothing can be written to the topic"
	case n == int(replicas) && replicas > 1:
		d.Want = fmt.Sprintf("less than %d, its replicas", replicas)
		d.Why, d.Risk = "nothing can be written while one broker is away", true
	default:
		return nil
	}
	return []Difference{d}
}

// atLeast reports whether more than the table's value does no harm.
func atLeast(key string) bool {
	switch key {
	case retentionMs, retentionBytes, minInsync, maxMessage, deleteRetention:
		return true
	}
	return false
}

func fits(key, have, want string) bool {
	switch {
	case key == cleanupPolicy:
		return slices.Equal(list(have), list(want))
	case !atLeast(key):
		return have == want
	case key == retentionMs || key == retentionBytes:
		if have == unlimited || want == unlimited {
			return have == unlimited
		}
	}
	h, err := strconv.ParseInt(have, 10, 64)
	if err != nil {
		return false
	}
	w, err := strconv.ParseInt(want, 10, 64)
	return err == nil && h >= w
}

func list(s string) []string {
	var words []string
	for w := range strings.SplitSeq(s, ",") {
		words = append(words, strings.TrimSpace(w))
	}
	slices.Sort(words)
	return words
}

func (t Topic) why(key string) string {
	switch key {
	case cleanupPolicy:
		if t.Compact {
			return "the newest record of a key would be deleted by age, or earlier ones never"
		}
		return "compaction would drop all but the last record of a key"
	case retentionMs, retentionBytes:
		if t.Forever {
			return "an event that its lane has not read yet would be deleted"
		}
		return "records would be deleted earlier than their readers expect"
	case minInsync:
		return "a write that only one replica has counts as acknowledged and is lost with that broker"
	case maxMessage:
		return "a record may hold a whole message or customer; one that is refused stops its lane"
	case deleteRetention:
		return "a local store that was away may miss the record that erased a customer"
	case timestampType:
		return "records lose the time their producer gave them"
	case uncleanElection:
		return "a replica that lags may become leader, and acknowledged writes are lost"
	}
	return "the topic was not made as Lapwing makes it"
}
