// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"fmt"
	"testing"

	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/stream/lifecycle"
	"lapwing/stream/oracle"
)

// TestTicksAgainstOracle lets a clock go along between the messages, as the stream
// does: Advance at every instant that Due names, and one millisecond before it, where
// nothing may happen. But for detected_at the records must be the oracle's, who
// knows of no ticks.
func TestTicksAgainstOracle(t *testing.T) {
	t.Parallel()
	runSamples(t, 2_000_000, 1200, tickingAgainstOracle)
}

func tickingAgainstOracle(c *compiledCase, id string) string {
	got, err := foldTicking(c.model, id, c.lines[id], c.until)
	if err != nil {
		return err.Error()
	}
	want := c.judge.Customer(id, c.messages[id], c.until)
	c.told.add(want)
	for _, r := range [...]*oracle.Result{&want, &got} {
		for i := range r.Records {
			r.Records[i].DetectedAt = instant.None
		}
	}
	return difference(want, got)
}

func foldTicking(model *lifecycle.Model, id string, lines [][]byte, until instant.Instant) (got oracle.Result, err error) {
	var (
		state   lifecycle.State
		out     lifecycle.Output
		message event.Message
		last    = instant.None
	)
	tick := func(to instant.Instant) error {
		for {
			due := model.Due(&state)
			if due == instant.None || due > to {
				return nil
			}
			if due <= last {
				return fmt.Errorf("due is %s again, after Advance(%s)", due, last)
			}
			if due-1 > last {
				told := len(out.Records)
				model.Advance(&state, id, due-1, due-1, &out)
				if len(out.Records) > told {
					return fmt.Errorf("due is %s, but a millisecond before it there was %s", due, out.Records[told].AppendJSON(nil))
				}
			}
			model.Advance(&state, id, due, due, &out)
			last = due
		}
	}
	decoder := event.NewDecoder(model.Projection(), event.DefaultLimits())
	for _, line := range lines {
		if cause := decoder.Decode(line, instant.None, &message); cause != "" {
			return got, fmt.Errorf("decode %s: %s", line, cause)
		}
		if message.Time > until {
			continue
		}
		clock := max(state.Clock(), message.Time)
		// A clock behind the message says nothing new, and the oracle's does not move
		// for a duplicate.
		if duplicate, err := isDuplicate(model, &state, id, &message); err != nil {
			return got, err
		} else if message.Time == clock && !duplicate {
			if err := tick(clock); err != nil {
				return got, err
			}
		}
		verdict := model.Accept(&state, id, &message, clock, &out)
		if verdict != lifecycle.Duplicate && model.Definition().Lateness > 0 {
			model.Advance(&state, id, clock, clock, &out)
		}
		last = instant.None // a late event is evaluated at the frontier, so what was due after it is due again
		got.Records = append(got.Records, out.Records...)
		out.Reset()
	}
	if err := tick(until); err != nil {
		return got, err
	}
	model.Finish(&state, id, until, &out)
	got.Records = append(got.Records, out.Records...)
	if state.Begun() {
		p := model.Profile(&state, id)
		got.Profile = &p
	}
	return got, nil
}

// isDuplicate asks a copy of the state.
func isDuplicate(model *lifecycle.Model, state *lifecycle.State, id string, message *event.Message) (bool, error) {
	var (
		again lifecycle.State
		out   lifecycle.Output
	)
	if err := model.DecodeState(model.AppendState(nil, state), &again); err != nil {
		return false, fmt.Errorf("decode the state: %w", err)
	}
	return model.Accept(&again, id, message, message.Time, &out) == lifecycle.Duplicate, nil
}
