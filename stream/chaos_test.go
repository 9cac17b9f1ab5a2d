// SPDX-License-Identifier: Apache-2.0

package stream

import "flag"

// The chaos tests do to a worker what production does to it, and ask one thing: what
// is committed must be what the fold of the messages gives, once and in order. A test
// names its fault by number. The short form is part of every run of the tests; the
// long one, with more kills and more seeds, is
//
//	go test ./stream -run 'TestChaos|TestMutationGuards' -chaos=long -timeout 60m
var chaosForm = flag.String("chaos", "short", "how long the chaos tests take: short or long")

// chaosLong reports whether the long form was asked for.
func chaosLong() bool { return *chaosForm == "long" }

// chaosRounds is how often a chaos test does its work in the form that was asked for.
func chaosRounds(short, long int) int {
	if chaosLong() {
		return long
	}
	return short
}
