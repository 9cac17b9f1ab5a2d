// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"slices"
	"time"
)

// The tables that the reference is made of, for the test that makes it.

// FunctionText is what the reference says of a function.
type FunctionText struct{ Name, Signature, Summary, Exact, Cost, State string }

// Functions are those of conditions, in the order of the reference.
func Functions() []FunctionText {
	out := make([]FunctionText, len(functions))
	for i, f := range functions {
		out[i] = FunctionText{f.name, f.signature, f.summary, f.exact, f.cost, f.state}
	}
	return out
}

// MessageNames are what where, value and key read.
func MessageNames() []string { return slices.Clone(messageNames) }

// TimeParts are the methods of times.
func TimeParts() map[string]func(time.Time) int { return timeParts }
