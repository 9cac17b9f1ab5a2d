// SPDX-License-Identifier: Apache-2.0

package kpi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	schema "lapwing/schemas/clickhouse"
	"lapwing/schemas/instant"
)

// ErrNotKept says that the stream does not keep what a KPI needs.
var ErrNotKept = errors.New("not kept")

// Gap says that what a KPI needs has been kept only since an instant of the data: figures
// that reach further back lack what happened before.
type Gap struct {
	Since   time.Time
	What    string // what was not kept
	Setting string // why

	zone *time.Location
}

// told is what the lanes have told of their settings, as the view activity_mode has it.
type told struct {
	Activity        string     `ch:"activity"` // empty: nothing yet
	Since           *time.Time `ch:"since"`
	ReferencedSince *time.Time `ch:"referenced_since"`
	Aggregates      *bool      `ch:"aggregates"`
	AggregatesSince *time.Time `ch:"aggregates_since"`
	Timezone        *string    `ch:"timezone"`
}

// tellable refuses a KPI that would answer zero because what it counts is not kept.
func (k *KPI) tellable(ctx context.Context, conn driver.Conn, database string) error {
	_, err := k.gap(ctx, conn, database)
	return err
}

// gap is what a KPI lacks for a part of the past, nil if nothing; an error if it lacks it
// now, too.
func (k *KPI) gap(ctx context.Context, conn driver.Conn, database string) (*Gap, error) {
	reads, err := schema.Reads(k.Query)
	if err != nil {
		return nil, err
	}
	counts := slices.Contains(reads, "aggregates_log")
	if k.Activity == "" && !counts {
		return nil, nil //nolint:nilnil // said above
	}
	var t told
	if err := conn.QueryRow(ctx, schema.For(database, `SELECT activity, since, referenced_since, aggregates, aggregates_since,
    (SELECT toString(timezone) FROM {{db}}.live_definition) AS timezone
FROM {{db}}.activity_mode`)).ScanStruct(&t); err != nil {
		return nil, fmt.Errorf("ask what the stream keeps: %w", err)
	}
	var latest *Gap
	since := func(at *time.Time, what, setting string) {
		if at != nil && at.UnixMilli() != 0 && (latest == nil || latest.Since.Before(*at)) {
			latest = &Gap{Since: at.UTC(), What: what, Setting: setting, zone: time.UTC}
		}
	}
	if counts {
		const setting = "stream.aggregates"
		if t.Aggregates != nil && !*t.Aggregates {
			return nil, fmt.Errorf("KPI %s needs totals, and there are none (setting %s is false): what it counts is %w", k.Name, setting, ErrNotKept)
		}
		since(t.AggregatesSince, "totals", setting)
	}
	if k.Activity != "" {
		const setting = "stream.activity"
		if t.Activity == "off" || t.Activity == activityReferenced && k.Activity == activityAll {
			return nil, fmt.Errorf("KPI %s needs activity: %s, and it is %s (setting %s): what it counts is %w", k.Name, k.Activity, t.Activity, setting, ErrNotKept)
		}
		if k.Activity == activityAll {
			since(t.Since, "all activity", setting)
		} else {
			since(t.ReferencedSince, "activity", setting)
		}
	}
	if latest != nil && t.Timezone != nil {
		if latest.zone, err = time.LoadLocation(*t.Timezone); err != nil {
			return nil, fmt.Errorf("load the time zone of the live definition: %w", err)
		}
	}
	return latest, nil
}

// lacks reports whether a row is of a time, at least in part, before the gap's end. One
// that does not say of which time it is, is of all of it.
func (r *Result) lacks(row []any) bool {
	if r.Gap == nil {
		return false
	}
	for _, name := range []string{"period", "hour", "cohort"} {
		i := r.column(name)
		if i < 0 {
			continue
		}
		at, ok := row[i].(time.Time)
		if ok && isDate(r.Columns[i]) {
			at = instant.StartOfDay(at.Year(), at.Month(), at.Day(), r.Gap.zone)
		}
		return !ok || at.Before(r.Gap.Since)
	}
	return true
}

// gapLine tells people of the gap, if there is one in what is shown; else it is empty.
func (r *Result) gapLine() string {
	if !slices.ContainsFunc(r.Rows, r.lacks) {
		return ""
	}
	return fmt.Sprintf("Kept without a break only since %s (setting %s): %s. Figures that reach further back lack something.\n", r.Gap.Since.Format(time.RFC3339), r.Gap.Setting, r.Gap.What)
}

// wholeSince is the name of the column that tells programs of the gap.
const wholeSince = "whole_since"

// withGap is the result with a further column, if it has rows that lack something: the
// instant since which what they count is kept, null in rows that lack nothing.
func (r *Result) withGap() *Result {
	if !slices.ContainsFunc(r.Rows, r.lacks) {
		return r
	}
	all := *r
	all.Columns = append(slices.Clone(r.Columns), Column{wholeSince, "Nullable(DateTime64(3))"})
	all.Rows = make([][]any, len(r.Rows))
	for i, row := range r.Rows {
		var since any
		if r.lacks(row) {
			since = r.Gap.Since
		}
		all.Rows[i] = append(slices.Clone(row), since)
	}
	return &all
}
