// SPDX-License-Identifier: Apache-2.0

package streamtest

import (
	"fmt"
	"strings"

	"lapwing/schemas/instant"
	"lapwing/schemas/record"
)

// picture draws a customer's story: a line of time with messages (●), instants at which
// something changed by itself (○), and below each the changes. The change in question
// is marked.
func (st *stage) picture(a *actor, mark *change) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s until here:\n", a.id)
	at := instant.None
	for i, entry := range a.story {
		switch e := entry.(type) {
		case received:
			at = e.at
			fmt.Fprintf(&b, "  %-24s ● %s (line %d)\n", e.at, e.told, e.line)
			if i+1 < len(a.story) {
				// what fell due before a message arrives with it, and is drawn below it
				if c, ok := a.story[i+1].(*change); ok && c.EffectiveAt < e.at {
					b.WriteString(strings.Repeat(" ", 27) + "│ it brings what fell due before it:\n")
				}
			}
		case *change:
			if e.EffectiveAt != at && e.Cause.Type != record.CauseLateEvent {
				at = e.EffectiveAt
				word := "○"
				if e.Cause.Type == record.CauseEvent {
					word = "●"
				}
				fmt.Fprintf(&b, "  %-24s %s\n", at, word)
			}
			flag := ""
			if e == mark {
				flag = "   ◀ here"
			}
			fmt.Fprintf(&b, "%s├ %s%s\n", strings.Repeat(" ", 27), told(&e.Record), flag)
		}
	}
	return b.String()
}

// told is a change in one line: what, and why.
func told(r *record.Record) string {
	var what string
	switch r.Kind {
	case record.StageChange:
		what = r.Model + ": " + arrow(r.From, r.To)
	case record.Assignment, record.Conversion:
		arm := armOf(r)
		what = campaignWord(r.Kind) + " " + r.Name() + arm.String()
	default:
		what = strings.TrimSpace(inOut(r.Entered)) + " " + r.Segment
	}
	why := strings.ReplaceAll(string(r.Cause.Type), "_", " ")
	switch {
	case r.Cause.Left != "" && r.Cause.Condition != "":
		why += ": now " + r.Cause.Condition + ", no longer " + r.Cause.Left
	case r.Cause.Left != "":
		why += ": no longer " + r.Cause.Left
	case r.Cause.Condition != "":
		why += ": " + r.Cause.Condition
	}
	return what + "   (" + why + ")"
}
