// SPDX-License-Identifier: Apache-2.0

package batch

import "fmt"

// Table is one storage table of the sink.
type Table int

// The tables, in the order in which a batch inserts them.
const (
	Definitions Table = iota
	StageChanges
	SegmentChanges
	Assignments
	Conversions
	Activity
	Exposures
	OrderItems
	Refunds
	Aggregates
	Settings
	Profiles
	Unreadable
	numTables
)

// place names the columns that every row ends with: where it was read.
var place = []string{"_topic", "_partition", "_offset", "_generation"}

var tables = [numTables]struct {
	name    string
	columns []string // without place
}{
	Definitions: {"definitions_log", []string{"name", "version", "hash", "timezone", "currency", "activated_at", "models", "segments", "campaigns", "global_holdout", "source"}},
	StageChanges: {"stage_changes_log", []string{
		"id", "customer_id", "definition", "definition_version", "model", "sequence", "from", "to", "effective_at", "detected_at",
		"since", "next_stage", "next_deadline", "merged_into", "backfill",
		"cause_type", "cause_condition", "cause_left", "cause_event", "cause_message_id", "cause_event_time",
	}},
	SegmentChanges: {"segment_changes_log", []string{
		"id", "customer_id", "definition", "definition_version", "segment", "sequence", "entered", "effective_at", "detected_at", "backfill",
		"cause_type", "cause_condition", "cause_left", "cause_event", "cause_message_id", "cause_event_time",
	}},
	Assignments: {"assignments_log", []string{
		"id", "customer_id", "definition", "definition_version", "campaign", "variant", "holdout", "round", "sequence", "effective_at", "detected_at", "backfill",
		"stages", "segments", "cause_type", "cause_condition", "cause_left", "cause_event", "cause_message_id", "cause_event_time",
	}},
	Conversions: {"conversions_log", []string{
		"id", "customer_id", "definition", "definition_version", "campaign", "goal", "variant", "holdout", "round", "assigned_at", "value", "currency", "occurrences", "unpriced",
		"sequence", "effective_at", "detected_at", "backfill",
		"stages", "segments", "cause_type", "cause_condition", "cause_left", "cause_event", "cause_message_id", "cause_event_time",
	}},
	Activity: {"activity_log", []string{
		"customer_id", "event_time", "message_id", "type", "event", "occurrences", "exposures", "stages", "segments",
		"session_stages", "session_start", "platform", "too_late", "currency", "products",
	}},
	Exposures: {"exposures_log", []string{"customer_id", "exposed_at", "campaign", "channel", "step", "machine", "message_id", "event", "_occurrence"}},
	OrderItems: {"order_items_log", []string{
		"customer_id", "event", "order_key", "item", "ordered_at", "product_id", "name", "category", "quantity", "price", "currency", "order_value",
	}},
	Refunds: {"refunds_log", []string{"customer_id", "event", "order_key", "ordered_at", "refunded_at", "value", "message_id", "_occurrence"}},
	Aggregates: {"aggregates_log", []string{
		"definition", "lane", "measure", "grain", "period", "event", "model", "stage", "from", "to", "cause", "segment", "platform", "count", "sum", "sum_squares",
	}},
	Settings:   {"settings_log", []string{"lane", "since", "activity", "aggregates", "session_gap_ms", "close_after_ms"}},
	Profiles:   {"profiles_log", []string{"_deleted", "customer_id", "stages", "segments", "traits"}},
	Unreadable: {"unreadable_log", []string{"reason", "value"}},
}

// Tables are all tables, in the order in which a batch inserts them.
func Tables() []Table {
	all := make([]Table, numTables)
	for i := range all {
		all[i] = Table(i)
	}
	return all
}

// Name is the table's name in ClickHouse.
func (t Table) Name() string { return tables[t].name }

// Columns are the columns of a Row, in order.
func (t Table) Columns() []string {
	return append(append([]string(nil), tables[t].columns...), place...)
}

// Row is one row of a table: a value per column, of the types that the driver's
// Append takes. A Row is not changed after it was made.
type Row []any

// RefusedPrefix begins the reason of an unreadable row that ClickHouse did not take; what
// follows is the name of the table.
const RefusedPrefix = "refused by "

// Refused is the insert that keeps, as unreadable, the one row of in that
// ClickHouse did not take.
func Refused(in Insert, cause error) Insert {
	row := in.Rows[0]
	own := len(row) - len(place)
	value := fmt.Sprint(row[:own]...)
	out := append(Row{fmt.Sprintf("%s%s: %v", RefusedPrefix, in.Table.Name(), cause), value}, row[own:]...)
	return Insert{Table: Unreadable, Rows: []Row{out}}
}
