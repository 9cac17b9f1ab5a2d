// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestEqual: what the sink has written agrees with the log, aborted transactions and
// markers and all, and every row of every table was looked at.
func TestEqual(t *testing.T) {
	w := newWorld(t, "equal", 1)
	w.write(w.history.Records(1))
	report := w.equal()
	expected := map[string]uint64{}
	for _, e := range report.Entries {
		expected[e.Table] += e.Expected
		if e.Expected != e.Found {
			t.Errorf("%+v", e)
		}
	}
	for table, n := range expected {
		if got := strings.TrimSpace(w.ask("SELECT count() FROM {}." + table + " FINAL")); got != fmt.Sprintf("(%d)", n) {
			t.Errorf("%s has %s rows, %d were compared", table, got, n)
		}
	}
	if len(expected) < 8 {
		t.Errorf("only %v were compared", expected)
	}
}
