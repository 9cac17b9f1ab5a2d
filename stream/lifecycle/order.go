// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"sort"
	"strings"

	"lapwing/schemas/definition"
)

// order sorts the rules by their dependence, then by the file, and refuses circles.
func (c *compiler) order(deps []map[int]bool) {
	n := len(c.rules)
	position := make([]int, n) // new index by old
	done := make([]bool, n)
	var sorted []int
	for len(sorted) < n {
		next := -1
		for i := 0; i < n && next < 0; i++ {
			ready := !done[i]
			for d := range deps[i] { // a conjunction: the order does not matter
				ready = ready && done[d]
			}
			if ready {
				next = i
			}
		}
		if next < 0 {
			c.reportCircle(deps, done)
			return
		}
		done[next] = true
		position[next] = len(sorted)
		sorted = append(sorted, next)
	}
	c.reorder(sorted, position, deps)
}

// reorder puts the rules into evaluation order. The closures compiled so far read
// rules by their old index, so ev.rules stays in file order; what is sorted is
// the order of evaluation.
func (c *compiler) reorder(sorted, position []int, deps []map[int]bool) {
	c.evaluation = sorted
	for i := range c.rules {
		if c.rules[i].model {
			c.modelRules = append(c.modelRules, i)
		}
		reached := map[int]bool{}
		c.reach(i, deps, reached)
		var closure []int
		for j := range reached { // sorted below
			closure = append(closure, j)
		}
		sort.Slice(closure, func(a, b int) bool { return position[closure[a]] < position[closure[b]] })
		c.rules[i].closure = closure
	}
}

func (c *compiler) reach(i int, deps []map[int]bool, reached map[int]bool) {
	if reached[i] {
		return
	}
	reached[i] = true
	for d := range deps[i] { // a set: the order does not matter
		c.reach(d, deps, reached)
	}
}

// reportCircle names those that read one another, each circle at its first member.
func (c *compiler) reportCircle(deps []map[int]bool, done []bool) {
	reached := make([]map[int]bool, len(c.rules)) // what each reads, itself and others
	for i := range c.rules {
		reached[i] = map[int]bool{}
		for d := range deps[i] { // a set: the order does not matter
			c.reach(d, deps, reached[i])
		}
	}
	told := map[int]bool{}
	for i := range c.rules {
		if done[i] || told[i] || !reached[i][i] {
			continue
		}
		var names []string
		for j := range c.rules {
			if reached[i][j] && reached[j][i] {
				told[j] = true
				names = append(names, c.ruleName(j))
			}
		}
		if len(names) == 1 {
			c.warnText(c.ruleText(i), "%s reads itself, and could never begin: take what reads it out of its condition", names[0])
		} else {
			c.warnText(c.ruleText(i), "%s read one another in a circle, so that none can be first: take one of the references out", strings.Join(names, ", "))
		}
		c.problems[len(c.problems)-1].Warning = false
	}
}

// ruleText is the name of a model, segment or campaign as it stands in the file.
func (m *Model) ruleText(i int) definition.Text {
	models, segments := len(m.def.Models), len(m.def.Segments)
	switch {
	case i < models:
		return m.def.Models[i].Name
	case i < models+segments:
		return m.def.Segments[i-models].Name
	default:
		return m.def.Campaigns[i-models-segments].Name
	}
}

func (c *compiler) ruleName(i int) string { return c.rules[i].kind() + " " + c.rules[i].name }

// kind is what a rule is, in words.
func (r *rule) kind() string {
	switch {
	case r.model:
		return "model"
	case r.campaign != nil:
		return "campaign"
	default:
		return "segment"
	}
}
