// SPDX-License-Identifier: Apache-2.0

package sinktest

import (
	"encoding/json"
	"fmt"

	"lapwing/schemas/record"
	"lapwing/schemas/topics"
	"lapwing/sink/batch"
)

// Prefix is what the topics of Records begin with.
const Prefix = "lapwing."

// Records are the history as Kafka records, per topic and partition in order, with
// offsets from 0. Profiles and aggregates have an older value before the last one.
func (h *History) Records(generation uint16) []batch.Record {
	var all []batch.Record
	offsets := batch.Offsets{}
	add := func(name string, partition int32, key string, value []byte) {
		topic := Prefix + name
		offset := offsets[topic][partition]
		offsets.Set(topic, partition, offset+1)
		all = append(all, batch.Record{Topic: topic, Name: name, Partition: partition, Offset: offset, Generation: generation, Key: []byte(key), Value: value})
	}
	definition, err := json.Marshal(map[string]any{
		"name": h.Definition, "version": 1, "hash": "00", "timezone": h.Zone.String(), "currency": "EUR",
		"activated_at": "1997-01-01T00:00:00Z", "models": h.Models, "segments": []string{"country"}, "source": "name: test",
	})
	if err != nil {
		panic(fmt.Sprintf("broken invariant: a definition is JSON: %v", err))
	}
	add(topics.Definitions, 0, h.Definition, definition)
	for i := range h.Changes {
		c := &h.Changes[i]
		name := topics.StageChanges
		switch {
		case c.Backfill:
			name = topics.History
		case c.Kind == record.SegmentChange:
			name = topics.SegmentChanges
		}
		add(name, lane(c.CustomerID), c.CustomerID, c.AppendJSON(nil))
	}
	for i := range h.Campaigns {
		c := &h.Campaigns[i]
		name := topics.Assignments
		switch {
		case c.Backfill:
			name = topics.History
		case c.Kind == record.Conversion:
			name = topics.Conversions
		}
		add(name, lane(c.CustomerID), c.CustomerID, c.AppendJSON(nil))
	}
	for i := range h.Activity {
		a := &h.Activity[i]
		add(topics.Activity, lane(a.CustomerID), a.CustomerID, a.AppendJSON(nil))
	}
	for i := range h.Aggregates {
		older := h.Aggregates[i]
		older.Count, older.Sum = older.Count+1, older.Sum+12_345
		add(topics.Aggregates, older.Lane, fmt.Sprint(i), older.AppendJSON(nil))
		add(topics.Aggregates, older.Lane, fmt.Sprint(i), h.Aggregates[i].AppendJSON(nil))
	}
	for i := range h.Settings {
		add(topics.Aggregates, h.Settings[i].Lane, string(h.Settings[i].Key()), h.Settings[i].AppendJSON(nil))
	}
	for i := range h.Profiles {
		older := h.Profiles[i]
		older.Segments, older.Traits = nil, nil
		p := lane(older.CustomerID)
		add(topics.Profiles, p, older.CustomerID, older.AppendJSON(nil))
		add(topics.Profiles, p, older.CustomerID, h.Profiles[i].AppendJSON(nil))
	}
	for _, customer := range h.Ended {
		gone := record.Profile{CustomerID: customer}
		add(topics.Profiles, lane(customer), customer, gone.AppendJSON(nil))
		add(topics.Profiles, lane(customer), customer, nil)
	}
	return all
}
