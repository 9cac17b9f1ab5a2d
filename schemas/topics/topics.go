// SPDX-License-Identifier: Apache-2.0

// Package topics is every Kafka topic of Lapwing as data: name, key, cleanup,
// retention. `lapwing topics`, the stream and the sink read this one table.
package topics

import (
	"strconv"
	"time"
)

// Topic is one topic. Name is without the deployment's prefix (default "lapwing.").
type Topic struct {
	Name     string
	Lanes    bool   // one partition per lane; else the number of partitions may be any
	Compact  bool   // cleanup.policy=compact, else delete
	Forever  bool   // retention.ms=-1
	Public   bool   // for other services; the rest is internal
	Key      string // what the record key is
	Holds    string // one line for people
	Internal bool

	// Retention is how long a record is kept; 0 if Compact or Forever.
	Retention time.Duration
	// MaxMessageBytes is the largest record batch; 0: the broker's default. It is set
	// where a record can hold a whole input message or a whole customer.
	MaxMessageBytes int
}

// The names, without the prefix.
const (
	StageChanges   = "stage-changes"
	SegmentChanges = "segment-changes"
	Assignments    = "assignments"
	Conversions    = "conversions"
	Profiles       = "profiles"
	History        = "history"
	Activity       = "activity"
	Aggregates     = "aggregates"
	Definitions    = "definitions"
	DeadLetters    = "dead-letters"
	Mailbox        = "mailbox"
	State          = "state"
)

// DefaultPrefix goes before every name unless a deployment sets another.
const DefaultPrefix = "lapwing."

// LargeMessageBytes bounds a record batch of the topics that hold whole input
// messages or whole customers: eight times the largest message accepted.
const LargeMessageBytes = 8 << 20

// MinInsyncReplicas is min.insync.replicas of every topic with at least three
// replicas; with fewer it is 1.
const MinInsyncReplicas = 2

// DeleteRetention is how long a compacted topic keeps a tombstone at least. A local
// store that was away for longer may have missed one, and is restored from the log.
const DeleteRetention = day

const day = 24 * time.Hour

// All lists every topic: the public ones first, each group in the order in which
// the documentation names them. The slice is the caller's own.
func All() []Topic {
	return []Topic{
		{
			Name: StageChanges, Lanes: true, Public: true, Key: "customer id", Retention: 30 * day,
			Holds: "one record per change of stage, each exactly once and in order per customer",
		},
		{
			Name: SegmentChanges, Lanes: true, Public: true, Key: "customer id", Retention: 30 * day,
			Holds: "one record per segment entered or left, each exactly once and in order per customer",
		},
		{
			Name: Assignments, Lanes: true, Public: true, Key: "customer id", Retention: 30 * day,
			Holds: "one record per customer, campaign and round: the variant or the holdout",
		},
		{
			Name: Conversions, Lanes: true, Public: true, Key: "customer id", Retention: 30 * day,
			Holds: "one record per goal reached after an assignment, and one per correction of its value",
		},
		{
			Name: Profiles, Lanes: true, Compact: true, Public: true, Key: "customer id", MaxMessageBytes: LargeMessageBytes,
			Holds: "the current profile of every customer; a tombstone ends one",
		},
		{
			Name: History, Lanes: true, Internal: true, Key: "customer id", Retention: 14 * day,
			Holds: "changes of every kind that are history (backfill): for ClickHouse, not published",
		},
		{
			Name: Activity, Lanes: true, Internal: true, Key: "customer id", Retention: 14 * day, MaxMessageBytes: LargeMessageBytes,
			Holds: "accepted events that counted, with the stages and segments just before them",
		},
		{
			Name: Aggregates, Lanes: true, Internal: true, Key: "measure, grain, period and dimensions", Retention: 14 * day,
			Holds: "absolute counts and sums per lane and period",
		},
		{
			Name: Definitions, Compact: true, Internal: true, Key: "definition name", MaxMessageBytes: LargeMessageBytes,
			Holds: "the definition that is live, with its hash and the moment of its activation",
		},
		{
			Name: DeadLetters, Internal: true, Key: "the input record's key", Retention: 30 * day, MaxMessageBytes: LargeMessageBytes,
			Holds: "input that could not be used, byte for byte, with its cause and place",
		},
		{
			Name: Mailbox, Lanes: true, Forever: true, Internal: true, Key: "customer id", MaxMessageBytes: LargeMessageBytes,
			Holds: "events on their way to their customer's lane, and the clocks of their sources",
		},
		{
			Name: State, Lanes: true, Compact: true, Internal: true, Key: "generation, kind and customer or aggregate", MaxMessageBytes: LargeMessageBytes,
			Holds: "the changelog of each lane: customers, aggregates, clocks and positions",
		},
	}
}

// Full is the topic's name with the deployment's prefix.
func (t Topic) Full(prefix string) string { return prefix + t.Name }

// Partitions is how many partitions to create: one per lane, or one.
func (t Topic) Partitions(lanes int32) int32 {
	if t.Lanes {
		return lanes
	}
	return 1
}

// Config is the topic's configuration, for a cluster that keeps so many replicas.
func (t Topic) Config(replicas int16) map[string]string {
	c := map[string]string{cleanupPolicy: "delete", minInsync: "1", timestampType: "CreateTime"}
	switch {
	case t.Compact:
		c[cleanupPolicy] = "compact"
		c[deleteRetention] = strconv.FormatInt(DeleteRetention.Milliseconds(), 10)
	case t.Forever:
		c[retentionMs] = unlimited
	default:
		c[retentionMs] = strconv.FormatInt(t.Retention.Milliseconds(), 10)
	}
	if !t.Compact { // a broker's own limit of a log's size would else hold
		c[retentionBytes] = unlimited
	}
	if replicas > MinInsyncReplicas {
		c[minInsync] = strconv.Itoa(MinInsyncReplicas)
	}
	if t.MaxMessageBytes > 0 {
		c[maxMessage] = strconv.Itoa(t.MaxMessageBytes)
	}
	return c
}
