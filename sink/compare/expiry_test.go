// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"testing"
	"time"
)

func TestExpiry(t *testing.T) {
	now := time.Date(2026, 5, 31, 12, 0, 0, 0, time.UTC)
	const engine = "ReplacingMergeTree(_version) PARTITION BY _generation ORDER BY (_generation, event) "
	for _, test := range []struct{ text, column, kept string }{
		{"SETTINGS index_granularity = 8192", "", ""},
		{"TTL toDateTime(event_time) + toIntervalDay(30) SETTINGS index_granularity = 8192", "event_time", "2026-05-02T12:00:00Z"},
		{"TTL event_time + toIntervalDay(30)", "event_time", "2026-05-02T12:00:00Z"},
		{"TTL `at` + toIntervalHour(48) DELETE", "at", "2026-05-30T12:00:00Z"},
		{"TTL at + toIntervalMonth(1)", "at", "2026-05-06T12:00:00Z"}, // 31 April is 1 May here, 30 April there
		{"TTL at + toIntervalYear(2), at + toIntervalWeek(1) TO VOLUME 'slow' SETTINGS x = 1", "at", "2024-06-05T12:00:00Z"},
		{"TTL at + toIntervalWeek(1) TO DISK 'slow'", "", ""},
		{"TTL at + toIntervalWeek(2)", "at", "2026-05-18T12:00:00Z"},
		{"TTL at + toIntervalQuarter(1)", "at", "2026-03-08T12:00:00Z"},
		{"TTL at + INTERVAL 90 MINUTE", "at", "2026-06-01T10:30:00Z"},
		{"TTL at + toIntervalSecond(5)", "at", "2026-06-01T11:59:55Z"},
	} {
		e, err := ParseExpiry(engine + test.text)
		if err != nil || e.Column != test.column {
			t.Errorf("%s: %+v, %v", test.text, e, err)
			continue
		}
		if got := e.Kept(now).Format(time.RFC3339); test.kept != "" && got != test.kept {
			t.Errorf("%s: kept from %s, want %s", test.text, got, test.kept)
		}
	}
	for _, bad := range []string{
		"TTL at + toIntervalDay(1) WHERE event = 'x'", "TTL at + toIntervalDay(1) GROUP BY event SET x = 1", "TTL at + toIntervalDay(1), at + toIntervalDay(2)",
		"TTL least(at, event_time) + toIntervalDay(1)", "TTL at + toIntervalDay(99999999999999999999)", "TTL at",
	} {
		if e, err := ParseExpiry(engine + bad); err == nil {
			t.Errorf("%s is taken for %+v", bad, e)
		}
	}
}
