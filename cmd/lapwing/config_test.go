// SPDX-License-Identifier: Apache-2.0

package main

import (
	"reflect"
	"testing"

	"lapwing/stream"
)

// TestExampleConfigHoldsTheDefaults: the file that people copy says what holds without it.
func TestExampleConfigHoldsTheDefaults(t *testing.T) {
	a := &app{env: noEnv}
	got, err := a.loadConfig("../../deploy/lapwing.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := defaultConfig()
	want.Definition = "preset:customer-value"
	want.Stream.Inputs = []stream.Input{{Topic: "events"}}
	if err := want.complete(noEnv); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("the example says\n%+v\nthe defaults are\n%+v", *got, want)
	}
}
