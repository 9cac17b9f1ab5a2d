// SPDX-License-Identifier: Apache-2.0

// Package streamtest is the scenario language: who does what when, and which changes
// are expected, in plain text that a marketer reads. `lapwing test` runs it for users,
// and our own tests of the core are written in it. The manual is README.md.
//
//	# A buyer who goes quiet for 90 days is at risk.
//	definition: preset:customer-value
//
//	on 1997-01-01 ana buys 40.00
//	expect ana value → new at 1997-01-01 because event
//	until 1997-04-01
//	expect ana value new → at_risk at 1997-04-01 because deadline
//
// Every message goes through the decoder as JSON, so a scenario takes the way an event
// takes. Nothing here reads a clock; the caller reads the files.
package streamtest
