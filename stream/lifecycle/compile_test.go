// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"strings"
	"testing"

	"lapwing/schemas/definition"
)

// header is a definition up to its models; conditions follow.
const header = `lapwing: 1
name: test
version: 1
params: {quiet: 90d, enough: 2, on: true}
events:
  purchase: {match: Order Completed, value: properties.total, key: properties.order_id}
  visit: {match: [{type: page}, {type: screen}]}
  hourly: {match: Ping, resolution: 1h}
`

func compileText(t *testing.T, source string) (*Model, []definition.Problem) {
	t.Helper()
	d, problems := definition.Parse("test.yaml", []byte(source))
	for _, p := range problems {
		if !p.Warning {
			t.Fatalf("the definition does not parse: %v\n%s", p, source)
		}
	}
	return Compile(d)
}

func segmentDefinition(condition string) string {
	return header + `models:
  - {name: value, stages: [{stage: prospect, when: never('purchase')}, {stage: buyer, when: "true"}]}
segments:
  - name: s
    when: ` + condition + "\n"
}

// conditionLine and conditionColumn are where segmentDefinition's condition begins.
const (
	conditionLine   = 13
	conditionColumn = 11
)

func TestRefusedConditions(t *testing.T) {
	for _, c := range []struct {
		condition string
		column    int // within the condition, from 1
		says      string
	}{
		{`never('purchas')`, 7, "there is no event \"purchas\"; did you mean `purchase`?"},
		{`count('purchase')`, 1, "this is a number, and a condition is true or false"},
		{`count('purchase', '90d') > 4097`, 26, "at most 4096"},
		{`count('purchase', '3661d') > 1`, 19, "3661d is too long"},
		{`count('purchase', '0d') > 1`, 19, "longer than 0"},
		{`count('purchase', '90 days') > 1`, 19, "is no duration"},
		{`in_stage('valu', 'buyer')`, 10, "there is no model \"valu\"; did you mean `value`?"},
		{`in_stage('value', 'byer')`, 19, "model value has no stage \"byer\"; did you mean `buyer`?"},
		{`in_segment('s')`, 1, "s reads itself"},
		{`in_segment('t')`, 12, `there is no segment "t"`},
		{`assigned('winback')`, 10, `there is no campaign "winback"`},
		{`converted('winback', 'bought')`, 11, `there is no campaign "winback"`},
		{`trait('a') == 1234567890123456`, 15, "numbers are below 10^14"},
		{`seen('purchase')`, 1, "seen is written seen(event, window): the window is missing, such as '90d'"},
		{`seen('purchase', params.quit)`, 18, "there is no param \"quit\"; did you mean `quiet`?"},
		{`nevr('purchase')`, 1, "there is no function nevr(); did you mean `never`?"},
		{`trait('tags').exists(x, x == 'vip')`, 15, "only in where, value and key"},
		{`seen('purchase', trait('w'))`, 18, "is a text written out"},
		{`never('purchase') &&`, 19, "nothing follows `&&`"},
		{`properties.total > 1`, 1, "properties belongs to the where, value and key of an event"},
	} {
		t.Run(c.condition, func(t *testing.T) {
			m, problems := compileText(t, segmentDefinition(c.condition))
			if m != nil || len(problems) == 0 {
				t.Fatalf("%s was accepted", c.condition)
			}
			p := problems[0]
			if !strings.Contains(p.Message, c.says) {
				t.Errorf("message %q does not say %q", p.Message, c.says)
			}
			want := definition.Pos{Line: conditionLine, Column: conditionColumn + c.column - 1}
			if c.says == "s reads itself" {
				want = definition.Pos{Line: conditionLine - 1, Column: 11}
			}
			if p.Pos != want {
				t.Errorf("it points at %v, want %v (%s)", p.Pos, want, p.Message)
			}
		})
	}
}

func TestAcceptedConditions(t *testing.T) {
	for _, condition := range []string{
		`count('purchase', '90d') >= 4096`,
		`count('hourly', '90d') > 100000`,
		`seen('purchase', params.quiet) && count('purchase') >= params.enough && params.on`,
		`trait('vip')`,
		`"trait('age') >= 18 && 'fr' in ['fr', 'de']"`,
		`trait('a') == 99999999999999`,
		`sum('purchase') / count('purchase') > 2.5 * 3`,
		`stage_for('value', 'buyer', '2w') && due('renewal', '-3d')`,
	} {
		if m, problems := compileText(t, segmentDefinition(condition)); m == nil {
			t.Errorf("%s was refused: %v", condition, problems)
		}
	}
}

func TestCirclesAreRefusedByName(t *testing.T) {
	_, problems := compileText(t, header+`models:
  - {name: m, stages: [{stage: a, when: in_segment('s')}, {stage: b, when: "true"}]}
segments:
  - {name: s, when: "in_stage('m', 'a')"}
  - {name: free, when: "in_segment('s')"}
`)
	if len(problems) != 1 || !strings.HasPrefix(problems[0].Message, "model m, segment s read one another in a circle") {
		t.Fatalf("problems: %v", problems)
	}
}

// Models, segments and campaigns are evaluated in the order of their dependence, then of the file.
func TestEvaluationOrder(t *testing.T) {
	m, problems := compileText(t, header+`models:
  - {name: m1, stages: [{stage: a, when: in_segment('s2')}, {stage: b, when: "true"}]}
  - {name: m2, stages: [{stage: a, when: "true"}]}
segments:
  - {name: s1, when: "in_stage('m1', 'a')"}
  - {name: s2, when: "seen('visit', '1d')"}
`)
	if m == nil {
		t.Fatal(problems)
	}
	var order []string
	for _, i := range m.evaluation {
		order = append(order, m.rules[i].name)
	}
	if got := fmt.Sprint(order); got != "[m2 s2 m1 s1]" {
		t.Fatalf("order %s", got)
	}
}

// A series keeps no more than what the conditions can read.
func TestRetention(t *testing.T) {
	for _, c := range []struct {
		condition string
		keep      int
		horizon   int64
	}{
		{`never('purchase')`, 0, 0},
		{`idle('purchase', '90d')`, 0, 0},
		{`count('purchase') >= 5`, 0, 0},
		{`count('purchase', '90d') >= 2`, 2, 90 * dayMillis},
		{`count('purchase', '90d') > 2`, 3, 90 * dayMillis},
		{`"2 <= count('purchase', '90d')"`, 2, 90 * dayMillis},
		{`count('purchase', '90d') == 2`, 3, 90 * dayMillis},
		{`count('purchase', '90d') < 2.5`, 3, 90 * dayMillis},
		{`count('purchase', '90d') + 0 >= 2`, maxKept, 90 * dayMillis},
		{`sum('purchase', '90d') >= 2`, maxKept, 90 * dayMillis},
		{`sum('purchase') >= 2`, maxKept, never},
	} {
		m, problems := compileText(t, segmentDefinition(c.condition+`
`))
		if m == nil {
			t.Fatal(problems)
		}
		if e := m.events[0]; e.keep != c.keep || e.horizon != c.horizon {
			t.Errorf("%s keeps %d instants of %d ms, want %d of %d", c.condition, e.keep, e.horizon, c.keep, c.horizon)
		}
	}
}

// What can never hold, or looks less far than it seems, is said but not refused.
func TestWarnedConditions(t *testing.T) {
	for condition, says := range map[string]string{
		`count('visit', '1d') >= '2'`:                    "a number is compared with a text, which never holds",
		`"never('visit') == 1"`:                          "a condition is compared with a number, which never holds",
		`count('visit', '9d') > count('purchase', '9d')`: "reads the newest 4096 instants",
		`count('visit', '9d') * 2 >= 9000`:               "reads the newest 4096 instants",
	} {
		m, problems := compileText(t, segmentDefinition(condition))
		if m == nil || len(problems) == 0 || !problems[0].Warning || !strings.Contains(problems[0].Message, says) {
			t.Errorf("%s: %v", condition, problems)
		}
	}
	for _, condition := range []string{`count('visit', '9d') >= 20`, `count('hourly', '9d') > count('visit')`} {
		if _, problems := compileText(t, segmentDefinition(condition)); len(problems) > 0 {
			t.Errorf("%s: %v", condition, problems)
		}
	}
}
