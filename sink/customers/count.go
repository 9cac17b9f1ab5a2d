// SPDX-License-Identifier: Apache-2.0

package customers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	schema "lapwing/schemas/clickhouse"
	"lapwing/sink/compare"
)

// Counter counts the customers of one generation.
type Counter struct {
	Conn       driver.Conn
	Database   string
	Generation uint16
	Topic      string // of activity, with its prefix
}

// periodStarts is the start of a message's period, as an instant, by grain.
var periodStarts = map[string]string{ //nolint:gochecknoglobals // a constant
	"hour":  `event_time - toIntervalMillisecond(toMinute(toTimeZone(event_time, zone)) * 60000 + toSecond(event_time) * 1000 + toMillisecond(event_time))`,
	"day":   `toDateTime64(date, 3, zone)`,
	"week":  `toDateTime64(date - (toDayOfWeek(date) - 1), 3, zone)`,
	"month": `toDateTime64(date - (toDayOfMonth(date) - 1), 3, zone)`,
}

// statement counts a span. A message counts its customer once for all, once for each
// event it is an occurrence of, and each of these once more by the stage that the
// customer was in just before, in each model. A date becomes an instant as a Date32: a
// text of a midnight that clocks leave out would be read as 23:00 of the day before.
const statement = `
INSERT INTO {{db}}.customers_log (definition, lane, grain, period, event, model, stage, count, _topic, _partition, _offset, _generation)
SELECT @definition, @lane, @grain, period, event, place.1, place.2, uniqExact(customer_id), @topic, @lane, @last, @generation
FROM
(
    SELECT
        customer_id,
        toDate32(event_time, @zone) AS date,
        {{period}} AS period,
        arrayJoin(arrayPushFront(arrayDistinct(arrayMap(o -> o.event, arrayFilter(o -> NOT o.refund, occurrences))), '')) AS event,
        arrayJoin(arrayPushFront(arrayMap((m, s) -> (toString(m), s), mapKeys(stages), mapValues(stages)), ('', ''))) AS place
    FROM {{db}}.activity_log
    WHERE _generation = @generation AND _topic = @topic AND _partition = @lane AND _offset <= @last AND NOT too_late
        AND event_time >= toDateTime64(toDate32(@from), 3, @zone) AND event_time < toDateTime64(toDate32(@to), 3, @zone)
)
GROUP BY period, event, place`

// movedStatement takes back what was counted by the dates of another time zone, in the
// periods of a span: of a period there is one count, whatever its zone was. Its date is that
// half a day after its start, as for all totals; an hour lies on the date of its start.
const movedStatement = `
INSERT INTO {{db}}.customers_log (definition, lane, grain, period, event, model, stage, count, _topic, _partition, _offset, _generation)
SELECT definition, lane, grain, began, event, model, stage, 0, @topic, @lane, @last, @generation
FROM
(
    SELECT definition, lane, grain, period AS began, event, model, stage, period + toIntervalHour(if(grain = 'hour', 0, 12)) AS event_time, toDate32(event_time, @zone) AS date
    FROM {{db}}.customers_log FINAL
    WHERE _generation = @generation AND definition = @definition AND grain = @grain AND lane = @lane AND count != 0
        AND period >= toDateTime64(toDate32(@from) - 2, 3, @zone) AND period < toDateTime64(toDate32(@to) + 2, 3, @zone)
)
WHERE date >= toDate32(@from) AND date < toDate32(@to) AND began != {{period}}`

// Count counts anew, of one lane, all periods that have had messages since it was counted
// last. All rows of the lane's activity below nextOffset must be in ClickHouse. It
// returns how many spans it counted.
func (c *Counter) Count(ctx context.Context, lane int32, nextOffset int64) (int, error) {
	name, zone, err := c.definition(ctx)
	if err != nil || name == "" {
		return 0, err
	}
	counted, err := c.counted(ctx, lane)
	if err != nil || counted >= nextOffset {
		return 0, err
	}
	days, newest, err := c.days(ctx, lane, counted, nextOffset, zone)
	if err != nil {
		return 0, err
	}
	args := []any{
		clickhouse.Named("definition", name), clickhouse.Named("lane", uint32(lane)), clickhouse.Named("zone", zone), clickhouse.Named("topic", c.Topic),
		clickhouse.Named("last", uint64(nextOffset-1)), clickhouse.Named("generation", c.Generation),
	}
	kept, err := c.kept(ctx)
	if err != nil {
		return 0, err
	}
	moved, err := c.moved(ctx)
	if err != nil {
		return 0, err
	}
	plan := slices.DeleteFunc(Plan(days, newest.Add(-HoursFor)), func(s Span) bool { return s.From.Before(kept) })
	for _, s := range plan {
		start := strings.ReplaceAll(periodStarts[s.Grain], "zone", "@zone")
		with := append(args[:len(args):len(args)],
			clickhouse.Named("grain", s.Grain), clickhouse.Named("from", s.From.Format(time.DateOnly)), clickhouse.Named("to", s.To.Format(time.DateOnly)))
		statements := []string{statement}
		if moved {
			statements = append(statements, movedStatement)
		}
		for _, query := range statements {
			if err := c.exec(ctx, strings.Replace(query, "{{period}}", start, 1), with...); err != nil {
				return 0, fmt.Errorf("count customers by %s from %s: %w", s.Grain, s.From.Format(time.DateOnly), err)
			}
		}
	}
	// The mark comes last: what is counted half is counted again.
	err = c.exec(ctx, `INSERT INTO {{db}}.customers_log (definition, lane, grain, period, event, model, stage, count, _topic, _partition, _offset, _generation)
SELECT '', @lane, '', toDateTime64(0, 3, 'UTC'), '', '', '', @last + 1, @topic, @lane, @last, @generation`, args...)
	if err != nil {
		return 0, fmt.Errorf("mark what was counted: %w", err)
	}
	return len(plan), nil
}

func (c *Counter) exec(ctx context.Context, query string, args ...any) error {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"async_insert": 0, "distributed_foreground_insert": 1}))
	return c.Conn.Exec(ctx, schema.For(c.Database, query), args...) //nolint:wrapcheck // the caller says what it was doing
}

// definition is the newest one of the generation; its name is empty before there is one.
func (c *Counter) definition(ctx context.Context) (name, zone string, err error) {
	row := c.Conn.QueryRow(ctx, schema.For(c.Database, `SELECT toString(name), toString(timezone) FROM {{db}}.definitions_log
WHERE _generation = @generation ORDER BY activated_at DESC, version DESC LIMIT 1`), clickhouse.Named("generation", c.Generation))
	if err := row.Scan(&name, &zone); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", "", fmt.Errorf("read the definition: %w", err)
	}
	return name, zone, nil
}

// moved reports whether the generation has had definitions of different time zones.
func (c *Counter) moved(ctx context.Context) (moved bool, err error) {
	row := c.Conn.QueryRow(ctx, schema.For(c.Database, `SELECT uniqExact(timezone) > 1 FROM {{db}}.definitions_log WHERE _generation = @generation`), clickhouse.Named("generation", c.Generation))
	var more uint8
	if err := row.Scan(&more); err != nil {
		return false, fmt.Errorf("ask for the time zones of definitions: %w", err)
	}
	return more != 0, nil
}

// kept is the day from which on activity is whole, whatever its TTL is: a period that began
// before has lost messages, or will while they are counted. It stays as it was counted.
func (c *Counter) kept(ctx context.Context) (day time.Time, err error) {
	rows, err := c.Conn.Query(ctx, `SELECT engine_full, now() FROM system.tables WHERE database = @database AND name IN @names`,
		clickhouse.Named("database", c.Database), clickhouse.Named("names", []string{"activity_log", "activity_log" + schema.LocalSuffix}))
	if err != nil {
		return day, fmt.Errorf("ask for how long activity is kept: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var engine string
		var now time.Time
		if err := rows.Scan(&engine, &now); err != nil {
			return day, fmt.Errorf("read for how long activity is kept: %w", err)
		}
		expiry, err := compare.ParseExpiry(engine)
		if err != nil {
			return day, fmt.Errorf("for how long activity is kept is not understood: %w", err)
		}
		if expiry != (compare.Expiry{}) {
			day = expiry.Kept(now)
		}
	}
	if err := rows.Err(); err != nil {
		return day, fmt.Errorf("read for how long activity is kept: %w", err)
	}
	return day, nil
}

// counted is the next offset up to which the lane has been counted.
func (c *Counter) counted(ctx context.Context, lane int32) (nextOffset int64, err error) {
	row := c.Conn.QueryRow(ctx, schema.For(c.Database, `SELECT max(count) FROM {{db}}.customers_log WHERE _generation = @generation AND lane = @lane AND grain = ''`),
		clickhouse.Named("generation", c.Generation), clickhouse.Named("lane", uint32(lane)))
	if err := row.Scan(&nextOffset); err != nil {
		return 0, fmt.Errorf("read up to where customers have been counted: %w", err)
	}
	return nextOffset, nil
}

// days are the local dates of messages with offsets [from, to), at midnight UTC, and
// newest the greatest of all below to.
func (c *Counter) days(ctx context.Context, lane int32, from, to int64, zone string) (days []time.Time, newest time.Time, err error) {
	rows, err := c.Conn.Query(ctx, schema.For(c.Database, `SELECT toDate32(event_time, @zone) AS day FROM {{db}}.activity_log
WHERE _generation = @generation AND _topic = @topic AND _partition = @lane AND _offset >= @from AND _offset < @to AND NOT too_late GROUP BY day ORDER BY day`),
		clickhouse.Named("zone", zone), clickhouse.Named("generation", c.Generation), clickhouse.Named("topic", c.Topic), clickhouse.Named("lane", uint32(lane)),
		clickhouse.Named("from", uint64(from)), clickhouse.Named("to", uint64(to)))
	if err != nil {
		return nil, newest, fmt.Errorf("find the days with new messages: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var day time.Time
		if err := rows.Scan(&day); err != nil {
			return nil, newest, fmt.Errorf("read a day with new messages: %w", err)
		}
		days = append(days, time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, time.UTC))
	}
	if err := rows.Err(); err != nil {
		return nil, newest, fmt.Errorf("read the days with new messages: %w", err)
	}
	if len(days) > 0 {
		newest = days[len(days)-1]
	}
	return days, newest, nil
}
