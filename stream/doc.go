// SPDX-License-Identifier: Apache-2.0

// Package stream is the service around the pure fold of stream/lifecycle: it reads
// events from Kafka, keeps one state per customer, and writes stage changes and all
// else that follows from them, each exactly once.
//
//	w, err := stream.NewWorker(cfg, def, stream.Deps{Log: log})
//	err = w.Run(ctx) // until ctx ends or a human is needed
//
// A lane is everything with one partition number: the keyed inputs, the mailbox, the
// state topic. It has one owner, a slot; a slot is one group member with a
// transactional id of its own. In one transaction a slot commits what it read, what
// came of it and the new states, or none of it. A Router carries inputs that are not
// keyed by customer to the mailboxes of the customers' lanes.
//
// Killing any process at any instant loses nothing and doubles nothing. What is not
// promised: an order between customers, and that a record of the past is published
// (see Config.PublishFrom). DESIGN.md beside this file says why things are as they are.
package stream
