// SPDX-License-Identifier: Apache-2.0

// Package generate makes customer bases whose truth is known: what customers do, event by
// event, and by how much each campaign changes it.
//
//	world, err := generate.New(generate.Settings{Preset: "e-commerce", Customers: 10_000, Days: 180, Seed: 1, Start: start})
//	truth, err := world.Write(ctx, out, nil)
//
// Customers differ. Their visits are a Poisson process whose rate is drawn from a gamma
// distribution, and after each visit they may stop coming, each with a probability of their
// own drawn from a beta distribution: the BG/NBD model (P. Fader, B. Hardie, K. Lee,
// "Counting Your Customers" the Easy Way, Marketing Science 24, 2005), which is the
// Pareto/NBD of Schmittlein, Morrison and Colombo (1987) with another kind of end. Here the
// end is a long sleep: some come back.
//
// The real fold runs over what each customer does, so that who is assigned to which campaign
// and arm, and when, is what Lapwing itself says of the same events. From the assignment on
// the goals are the experiment's: inside the window a customer reaches a goal with exactly
// the probability that the truth names for its arm and targeted segment, and what it would
// have done of that kind anyway is left out. Customers in a treated arm are sent messages;
// those in the holdout are not.
//
// The same settings give the same bytes. There is no clock and no randomness from outside.
package generate
