// SPDX-License-Identifier: Apache-2.0

// Package lifecycle is the heart of Lapwing: a pure fold of one customer's events
// and deadlines into stages, segments and the records that tell of their changes.
//
//	model, problems := lifecycle.Compile(def)
//	var s lifecycle.State               // a customer who has not begun
//	verdict := model.Accept(&s, "u1", &msg, now, &out)
//	for model.Advance(&s, "u1", watermark, now, &out) { // in portions
//	}
//
// There is no clock, goroutine, logger, randomness or map order in it: the caller
// passes instants in and carries records out. A Model is immutable and safe for
// concurrent use; a State belongs to one goroutine at a time.
package lifecycle
