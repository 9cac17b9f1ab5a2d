// SPDX-License-Identifier: Apache-2.0

package topics_test

import (
	"slices"
	"testing"

	"lapwing/schemas/topics"
)

// Public topics are never compacted but for profiles; the mailbox is never deleted by age.
func TestTheTableKeepsItsPromises(t *testing.T) {
	var public, compacted []string
	for _, topic := range topics.All() {
		if topic.Public == topic.Internal {
			t.Errorf("%s: public %v and internal %v: exactly one must hold", topic.Name, topic.Public, topic.Internal)
		}
		if topic.Key == "" || topic.Holds == "" {
			t.Errorf("%s: key %q, holds %q: both must be said", topic.Name, topic.Key, topic.Holds)
		}
		if ways := b2i(topic.Compact) + b2i(topic.Forever) + b2i(topic.Retention > 0); ways != 1 {
			t.Errorf("%s is kept in %d ways, want one of compacted, for ever, for a time", topic.Name, ways)
		}
		if topic.Public {
			public = append(public, topic.Name)
		}
		if topic.Compact {
			compacted = append(compacted, topic.Name)
		}
	}
	if want := []string{"stage-changes", "segment-changes", "assignments", "conversions", "profiles"}; !slices.Equal(public, want) {
		t.Errorf("public topics %v, want %v", public, want)
	}
	if want := []string{"profiles", "definitions", "state"}; !slices.Equal(compacted, want) {
		t.Errorf("compacted topics %v, want %v", compacted, want)
	}
}

func TestConfig(t *testing.T) {
	byName := map[string]topics.Topic{}
	for _, topic := range topics.All() {
		byName[topic.Name] = topic
	}
	for _, c := range []struct {
		topic, key, want string
		replicas         int16
	}{
		{topics.Mailbox, "retention.ms", "-1", 1},
		{topics.Mailbox, "cleanup.policy", "delete", 1},
		{topics.State, "cleanup.policy", "compact", 1},
		{topics.State, "retention.ms", "", 1},
		{topics.StageChanges, "retention.ms", "2592000000", 1},
		{topics.StageChanges, "min.insync.replicas", "1", 1},
		{topics.StageChanges, "min.insync.replicas", "1", 2},
		{topics.StageChanges, "min.insync.replicas", "2", 3},
		{topics.DeadLetters, "max.message.bytes", "8388608", 1},
	} {
		if got := byName[c.topic].Config(c.replicas)[c.key]; got != c.want {
			t.Errorf("%s of %s with %d replicas is %q, want %q", c.key, c.topic, c.replicas, got, c.want)
		}
	}
	if got := byName[topics.State].Full("x."); got != "x.state" {
		t.Errorf("full name %q", got)
	}
	if n := byName[topics.DeadLetters].Partitions(12); n != 1 {
		t.Errorf("dead-letters gets %d partitions, want 1", n)
	}
	if n := byName[topics.Mailbox].Partitions(12); n != 12 {
		t.Errorf("mailbox gets %d partitions, want one per lane", n)
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
