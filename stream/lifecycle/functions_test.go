// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"strings"
	"testing"
)

// Whoever writes a definition reads of every function how it is written, what it
// means exactly, what it costs and what it keeps.
func TestEveryFunctionIsDescribed(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range functions {
		if seen[f.name] {
			t.Errorf("%s is there twice", f.name)
		}
		seen[f.name] = true
		for what, text := range map[string]string{
			"signature": f.signature, "summary": f.summary, "exact": f.exact, "cost": f.cost, "state": f.state,
		} {
			if text == "" || strings.TrimSpace(text) != text || strings.Contains(text, "\n") || strings.Contains(text, "  ") {
				t.Errorf("%s: the %s is %q", f.name, what, text)
			}
		}
		if !strings.HasSuffix(f.summary, ".") || !strings.HasSuffix(f.exact, ".") && !strings.HasSuffix(f.exact, ")") {
			t.Errorf("%s: summary and exact meaning are sentences: %q, %q", f.name, f.summary, f.exact)
		}
		if len(f.summary) > 100 {
			t.Errorf("%s: the summary has %d characters, and is a line", f.name, len(f.summary))
		}
	}
}

// A signature has a name for each argument, those that may be left out in brackets.
func TestSignaturesAgreeWithTheArguments(t *testing.T) {
	for _, f := range functions {
		inner, ok := strings.CutPrefix(f.signature, f.name+"(")
		inner, also := strings.CutSuffix(inner, ")")
		if !ok || !also {
			t.Errorf("%s is written %s", f.name, f.signature)
			continue
		}
		needed, optional, _ := strings.Cut(inner, "[")
		count := func(list string) int {
			if list == "" {
				return 0
			}
			return strings.Count(list, ",") + 1
		}
		required, all := count(needed), count(needed)+strings.Count(optional, ",")
		if required != f.required || all != len(f.args) {
			t.Errorf("%s has %d arguments, %d of them required, and is written %s", f.name, len(f.args), f.required, f.signature)
		}
		if f.bound != "" && (f.required != len(f.args) || f.args[len(f.args)-1] != argWindow) {
			t.Errorf("%s says why a window cannot be left out, which it can", f.name)
		}
	}
}

// What would cost too much, or grow without end, is refused with the reason.
func TestWhatCostsTooMuchIsRefusedWithTheReason(t *testing.T) {
	for _, c := range []struct{ condition, says string }{
		{`days('visit') > 3`, "is written days(event, window): without a window it would have to remember every day for ever"},
		{`unique('visit', 'path') > 3`, "is written unique(event, property, window): without a window it would have to remember every value for ever"},
		{`count('visit', '90d') > 5000`, "a count is compared with at most 4096, unless its event has `resolution: 1h`"},
		{`seen('visit', '3661d')`, "3661d is too long: at most 3660d"},
		{`trait('path').matches(trait('pattern'))`, "matches() takes a pattern written out"},
		{`trait('tags').exists(t, t == 'vip')`, "lists can be searched only in where, value and key"},
	} {
		m, problems := compileText(t, segmentDefinition(c.condition))
		if m != nil || len(problems) == 0 || !strings.Contains(problems[0].Message, c.says) {
			t.Errorf("%s: %v, want %q", c.condition, problems, c.says)
		}
	}
}
