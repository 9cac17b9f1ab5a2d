// SPDX-License-Identifier: Apache-2.0

// Package topics is every Kafka topic of Lapwing as data: name, key, cleanup,
// retention. `lapwing topics`, the stream and the sink read this one table.
package topics

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
}

// The names, without the prefix.
const (
	StageChanges   = "stage-changes"
	SegmentChanges = "segment-changes"
	Profiles       = "profiles"
	History        = "history"
	Activity       = "activity"
	Aggregates     = "aggregates"
	Definitions    = "definitions"
	DeadLetters    = "dead-letters"
	Mailbox        = "mailbox"
	State          = "state"
)
