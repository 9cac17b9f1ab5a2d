// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"slices"
	"testing"
)

// TestReads: what a query reads is found through views, at any depth; each name once.
func TestReads(t *testing.T) {
	got, err := Reads("SELECT activity FROM {{db}}.activity_mode, {{db}}.settings AS s, {{db}}.other")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"activity_mode", "current_generation", "generations_log", "other", "settings", "settings_log"}
	if !slices.Equal(got, want) {
		t.Errorf("reads %q, want %q", got, want)
	}
}
