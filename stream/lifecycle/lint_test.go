// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"lapwing/schemas/definition"
)

func checkText(t *testing.T, source string) []definition.Problem {
	t.Helper()
	model, problems := Check(definition.ParsePartial("test.yaml", []byte(source)))
	if model == nil {
		t.Fatalf("refused: %v", problems)
	}
	return problems
}

// Conditions have one canonical text if and only if they are the same by what it promises.
func TestCanonical(t *testing.T) {
	of := func(condition string) string {
		c := newCompiler(&definition.Definition{Params: []definition.Param{
			{Name: definition.Text{Value: "quiet"}, Value: definition.Text{Value: "2w"}, IsString: true},
			{Name: definition.Text{Value: "much"}, Value: definition.Text{Value: "5.0"}},
		}})
		ast, ok := c.parseCEL(definition.Text{Value: condition, Pos: definition.Pos{Line: 1, Column: 1}}, scopeCondition)
		if !ok {
			t.Fatalf("%s: %v", condition, c.problems)
		}
		return canonical(ast.Expr())
	}
	for _, same := range [][]string{
		{`idle('p', '14d')`, `idle("p", '2w')`, `idle( 'p', params.quiet )`, `idle('p', '336h')`},
		{`known('a') && known('b') && never('p')`, `never('p') && (known('b') && known('a'))`, `known('b') && never('p') && known('a') && known('b')`},
		{`known('a') || known('b')`, `(known('b')) || known('a')`},
		{`count('p') >= 5`, `5 <= count('p')`, `count('p') >= 5.0`, `params.much <= count('p')`},
		{`sum('p') < 2.50`, `2.5 > sum('p')`},
		{`trait('a') == 'x'`, `'x' == trait('a')`},
		{`trait('a') != trait('b')`, `trait('b') != trait('a')`},
		{`due('r', '-1d')`, `due('r', '-24h')`},
		{`known('a') && known('a')`, `known('a')`},
	} {
		for _, condition := range same[1:] {
			if of(condition) != of(same[0]) {
				t.Errorf("%s is %s, and %s is %s", same[0], of(same[0]), condition, of(condition))
			}
		}
	}
	different := []string{
		`idle('p', '14d')`, `idle('p', '15d')`, `idle('q', '14d')`, `seen('p', '14d')`, `count('p') >= 5`, `count('p') > 5`, `5 >= count('p')`, `count('p', '5d') >= 5`,
		`trait('a') == 'x'`, `trait('a') == '14d'`, `trait('a') == '2w'`, `trait('a') in ['x']`, `trait('a') == 1`, `trait('a') == '1'`, `trait('a') == true`, `trait('a')`,
		`unique('p', '1d', '2d') > 1`, `unique('p', '24h', '2d') > 1`, `known('a') && known('b')`, `known('a') || known('b')`, `!(known('a') && known('b'))`, `!known('a') && known('b')`,
		`sum('p') - sum('q') > 0`, `sum('q') - sum('p') > 0`, `trait('a').contains('x')`, `trait('a').startsWith('x')`, `after('p', 'q')`, `after('q', 'p')`,
		`known('a') ? known('b') : known('c')`, `known('a') ? known('c') : known('b')`, `due('r', '1d')`, `due('r', '-1d')`,
	}
	by := map[string]string{}
	for _, condition := range different {
		if other, twice := by[of(condition)]; twice {
			t.Errorf("%s and %s are both %s", other, condition, of(condition))
		}
		by[of(condition)] = condition
	}
}

// What covers what: each pair is a condition and one behind it.
func TestOneConditionBehindAnother(t *testing.T) {
	for _, c := range []struct {
		first, second string
		covered       bool
	}{
		{`idle('purchase', '90d')`, `idle('purchase', '365d')`, true},
		{`idle('purchase', '90d')`, `idle('purchase', '90d')`, true},
		{`idle('purchase', '90d')`, `idle('purchase', '89d')`, false},
		{`idle('purchase', '90d')`, `idle('visit', '365d')`, false},
		{`seen('purchase', '90d')`, `seen('purchase', '30d')`, true},
		{`seen('purchase', '30d')`, `seen('purchase', '90d')`, false},
		{`seen('purchase', '30d')`, `count('purchase', '30d') >= 1`, true},
		{`seen('purchase', '30d')`, `count('purchase', '29d') > 0`, true},
		{`seen('purchase', '30d')`, `count('purchase', '31d') > 0`, false},
		{`count('purchase', '30d') >= 1`, `seen('purchase', '30d')`, true},
		{`seen('hourly', '30d')`, `count('hourly', '30d') >= 1`, false}, // it counts for up to an hour more
		{`count('hourly', '30d') >= 1`, `seen('hourly', '30d')`, true},
		{`first('purchase', '30d')`, `first('purchase', '7d')`, true},
		{`seen('purchase', '30d')`, `first('purchase', '30d')`, true},
		{`first('purchase', '30d')`, `seen('purchase', '30d')`, false},
		{`never('purchase')`, `count('purchase') == 0`, true},
		{`count('purchase') == 0`, `never('purchase')`, true},
		{`count('purchase') >= 2`, `count('purchase', '90d') >= 2`, true},
		{`count('purchase', '90d') >= 2`, `count('purchase') >= 2`, false},
		{`count('purchase', '90d') >= 2`, `count('purchase', '30d') > 1.5`, true},
		{`count('purchase', '90d') > 2`, `count('purchase', '90d') > 1`, false},
		{`count('purchase', '90d') != 2`, `count('purchase', '90d') > 2`, true},
		{`count('purchase', '90d') < 3`, `count('purchase', '90d') == 2`, true},
		{`sum('purchase', '90d') > 100`, `sum('purchase', '90d') >= 100.0001`, true},
		{`sum('purchase', '90d') > 100`, `sum('purchase', '90d') >= 100`, false},
		{`sum('purchase', '90d') > 100`, `sum('purchase', '30d') > 100`, false}, // there may be refunds of more than was paid
		{`days('visit', '30d') >= 2`, `days('visit', '30d') >= 4`, true},
		{`known('age')`, `trait('age') >= 18`, true},
		{`trait('age') >= 18`, `trait('age') > 17`, false},
		{`trait('age') >= 18`, `trait('age') > 18`, true},
		{`trait('tier') in ['gold', 'silver']`, `trait('tier') == 'gold'`, true},
		{`trait('tier') != 'gold'`, `trait('tier') == 'silver'`, true},
		{`trait('tier') != 'gold'`, `trait('tier') == 5`, true}, // another type is not equal
		{`trait('tier') != 'gold'`, `!known('tier')`, false},    // unknown is not unequal
		{`trait('vip')`, `trait('vip') == true`, true},
		{`due('renewal', '-7d')`, `due('renewal', '0d')`, true},
		{`due('renewal', '0d')`, `due('renewal', '-7d')`, false},
		{`in_stage('value', 'buyer')`, `stage_for('value', 'buyer', '30d')`, true},
		{`stage_for('value', 'buyer', '7d')`, `stage_for('value', 'buyer', '30d')`, true},
		{`stage_for('value', 'buyer', '30d')`, `in_stage('value', 'buyer')`, false},
		{`!in_stage('value', 'prospect')`, `in_stage('value', 'buyer')`, true}, // there are two
		{`after('purchase', 'visit')`, `!never('purchase') && never('visit')`, true},
		{`!never('purchase')`, `after('purchase', 'visit')`, true},
		{`known('a') ? known('b') : known('c')`, `known('a') && known('b')`, true},
		{`known('a') ? known('b') : known('c')`, `known('b')`, false},
		{`known('a') || !known('a')`, `anonymous()`, true},
		{`trait('a') == 'x' || trait('a') != 'x'`, `anonymous()`, false}, // it may be unknown
		{`count('purchase', '9d') + 0 > count('visit')`, `count('visit') < count('purchase', '9d') + 0`, true},
	} {
		source := header + "models:\n  - {name: value, stages: [{stage: prospect, when: never('purchase')}, {stage: buyer, when: \"true\"}]}\n  - name: m\n    stages:\n" +
			fmt.Sprintf("      - {stage: a, when: %q}\n      - {stage: b, when: %q}\n      - {stage: c, when: \"true\"}\n", c.first, c.second)
		covered := false
		for _, p := range checkText(t, source) {
			covered = covered || strings.HasPrefix(p.Message, `stage "b" can never be reached`)
		}
		if covered != c.covered {
			t.Errorf("behind %s, %s is said to be unreachable: %t, want %t", c.first, c.second, covered, c.covered)
		}
	}
}

// Lints are bounded, whatever a file holds.
func TestLintsOfLargeDefinitions(t *testing.T) {
	stages := func(n int, when func(i int) string) string {
		var b strings.Builder
		b.WriteString(header + "models:\n  - name: m\n    stages:\n")
		for i := range n {
			fmt.Fprintf(&b, "      - {stage: s%d, when: %q}\n", i, when(i))
		}
		b.WriteString("      - {stage: rest, when: \"true\"}\n")
		return b.String()
	}
	many := func(n int, operator, form string) string {
		parts := make([]string, n)
		for i := range parts {
			parts[i] = fmt.Sprintf(form, i+1)
		}
		return strings.Join(parts, operator)
	}
	for name, source := range map[string]string{
		"many stages": stages(2000, func(i int) string { return fmt.Sprintf("known('a%d')", i) }),
		"as many as are compared": stages(maxLinted-1, func(i int) string {
			return fmt.Sprintf("known('a%d') && known('b%d') || known('c%d')", i, i*7%31, i*5%29)
		}),
		"windows of one event": stages(90, func(i int) string { return fmt.Sprintf("count('purchase', '%dd') == %d", i+1, i*13%17) }),
		"parity":               stages(2, func(int) string { return many(40, " != ", "known('a%d')") }),
		"either, of pairs":     stages(60, func(i int) string { return many(12, " && ", "(known('a%d') || known('b"+fmt.Sprint(i%9)+"'))") }),
		"a long condition":     stages(2, func(int) string { return many(1500, " || ", "count('visit', '%dh') > 3") }),
		"many segments":        header + "segments:\n" + many(3000, "\n", "  - {name: s%d, when: \"known('a') && !known('a')\"}") + "\n",
		"segments that read the two before": header + "segments:\n  - {name: s1, when: \"known('a')\"}\n  - {name: s2, when: \"known('b')\"}\n" + func() string {
			var b strings.Builder
			for i := 3; i < 2000; i++ {
				fmt.Fprintf(&b, "  - {name: s%d, when: \"in_segment('s%d') != in_segment('s%d') && (in_segment('s%d') || in_segment('s%d'))\"}\n", i, i-1, i-2, i-1, i-2)
			}
			return b.String()
		}(),
		"many texts of one trait":  stages(90, func(i int) string { return fmt.Sprintf("trait('a') in ['x', 'y%d']", i) }),
		"many bounds of one count": stages(2, func(int) string { return many(1500, " || ", "count('visit') == %d") }),
	} {
		began := time.Now()
		problems := checkText(t, source)
		took := time.Since(began)
		t.Logf("%s: %v, %d problems", name, took, len(problems))
		if took > 30*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}
