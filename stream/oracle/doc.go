// SPDX-License-Identifier: Apache-2.0

// Package oracle says, as naively as possible, which records a definition gives
// for a customer's messages. Tests compare it with stream/lifecycle, record for
// record; nothing else uses it.
//
// It is written from the words of the contract and shares no code with the fold
// it judges: messages are read by encoding/json, conditions are walked as trees,
// numbers are fractions rounded where the contract rounds, every accepted message
// is kept for ever, and at each instant that could matter everything is computed
// again from the beginning. The only things it carries from one instant to the next
// are those the meaning itself carries: the stage, since when, the segments and
// the sequences, and which campaigns it has been assigned in and what came of that.
//
// It is slow, and it uses memory that grows with the events. An Oracle is immutable and safe for concurrent use.
package oracle
