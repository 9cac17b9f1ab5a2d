// SPDX-License-Identifier: Apache-2.0

package topics_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"lapwing/schemas/topics"
)

// Each setting of the table, one that is wrong and one that may stay.
func TestDifferences(t *testing.T) {
	byName := map[string]topics.Topic{}
	for _, topic := range topics.All() {
		byName[topic.Name] = topic
	}
	for _, c := range []struct {
		topic, key, have string
		replicas         int16
		want             string // key, want and set of the difference; empty: none
	}{
		{topics.State, "cleanup.policy", "delete", 3, "cleanup.policy: compact: compact"},
		{topics.State, "cleanup.policy", "compact,delete", 3, "cleanup.policy: compact: compact"},
		{topics.StageChanges, "cleanup.policy", "compact", 3, "cleanup.policy: delete: delete"},
		{topics.Mailbox, "retention.ms", "604800000", 3, "retention.ms: -1: -1"},
		{topics.Mailbox, "retention.bytes", "1073741824", 3, "retention.bytes: -1: -1"},
		{topics.Activity, "retention.ms", "1209599999", 3, "retention.ms: at least 1209600000: 1209600000"},
		{topics.Activity, "retention.ms", "1209600001", 3, ""},
		{topics.Activity, "retention.ms", "-1", 3, ""},
		{topics.State, "retention.ms", "1", 3, ""}, // of no effect on a compacted topic
		{topics.StageChanges, "min.insync.replicas", "1", 3, "min.insync.replicas: at least 2: 2"},
		{topics.StageChanges, "min.insync.replicas", "1", 2, ""},
		{topics.StageChanges, "min.insync.replicas", "1", 1, ""},
		{topics.StageChanges, "min.insync.replicas", "2", 3, ""},
		{topics.StageChanges, "min.insync.replicas", "3", 5, ""},
		{topics.StageChanges, "min.insync.replicas", "2", 1, "min.insync.replicas: at most 1, its replicas: 1"},
		{topics.StageChanges, "min.insync.replicas", "3", 3, "min.insync.replicas: less than 3, its replicas: 2: risk"},
		{topics.DeadLetters, "max.message.bytes", "1048588", 3, "max.message.bytes: at least 8388608: 8388608"},
		{topics.DeadLetters, "max.message.bytes", "16777216", 3, ""},
		{topics.StageChanges, "max.message.bytes", "1", 3, ""}, // the table leaves it to the broker
		{topics.State, "delete.retention.ms", "3600000", 3, "delete.retention.ms: at least 86400000: 86400000"},
		{topics.State, "delete.retention.ms", "172800000", 3, ""},
		{topics.StageChanges, "message.timestamp.type", "LogAppendTime", 3, "message.timestamp.type: CreateTime: CreateTime"},
		{topics.StageChanges, "unclean.leader.election.enable", "true", 3, "unclean.leader.election.enable: false: false"},
		{topics.StageChanges, "segment.bytes", "1", 3, ""},
	} {
		topic := byName[c.topic]
		have := topic.Config(c.replicas)
		have["unclean.leader.election.enable"] = "false"
		if left := topic.Differences(have, c.replicas); len(left) > 0 {
			t.Errorf("%s as it is made: %+v", c.topic, left)
		}
		have[c.key] = c.have
		var got []string
		for _, d := range topic.Differences(have, c.replicas) {
			text := d.Key + ": " + d.Want + ": " + d.Set
			if d.Risk {
				text += ": risk"
			}
			got = append(got, text)
			if d.Have != c.have || d.Why == "" {
				t.Errorf("%s with %s=%s: %+v", c.topic, c.key, c.have, d)
			}
		}
		if strings.Join(got, "; ") != c.want {
			t.Errorf("%s with %s=%s and %d replicas: %q, want %q", c.topic, c.key, c.have, c.replicas, got, c.want)
		}
	}
}

// What a broker does not tell is passed over: managed ones hide settings.
func TestDifferencesOfWhatIsNotTold(t *testing.T) {
	for _, topic := range topics.All() {
		if found := topic.Differences(map[string]string{}, 3); len(found) > 0 {
			t.Errorf("%s: %+v", topic.Name, found)
		}
	}
}

// Setting what every difference says leaves none.
func TestDifferencesAreCured(t *testing.T) {
	bad := map[string]string{
		"cleanup.policy": "compact,delete", "retention.ms": "1", "retention.bytes": "1", "min.insync.replicas": "4",
		"max.message.bytes": "1", "delete.retention.ms": "1", "message.timestamp.type": "LogAppendTime", "unclean.leader.election.enable": "true",
	}
	for _, topic := range topics.All() {
		for _, replicas := range []int16{1, 2, 3} {
			have := maps.Clone(bad)
			found := topic.Differences(have, replicas)
			for _, d := range found {
				have[d.Key] = d.Set
			}
			if left := topic.Differences(have, replicas); len(found) < 4 || slices.ContainsFunc(left, func(d topics.Difference) bool { return !d.Risk }) {
				t.Errorf("%s with %d replicas: %s, left %+v", topic.Name, replicas, fmt.Sprint(found), left)
			}
		}
	}
}
