// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"strings"
	"testing"

	"lapwing/schemas/definition"
)

// declared is a definition with typed traits and one condition, on line 6.
func declared(condition string) string {
	return fmt.Sprintf(`lapwing: 1
name: typed
version: 1
traits: {age: number, plan: text, vip: bool, renewal: time, tags: list}
segments:
  - {name: s, when: %q}
`, condition)
}

// A condition that takes a declared trait for something else is refused where the
// trait stands.
func TestDeclaredTraitsOfAnotherTypeAreRefused(t *testing.T) {
	const (
		age     = `trait "age" is declared as number, and `
		plan    = `trait "plan" is declared as text, and `
		vip     = `trait "vip" is declared as bool, and `
		renewal = `trait "renewal" is declared as time, and `
		tags    = `trait "tags" is declared as list, and `
	)
	for _, c := range []struct {
		condition string
		column    int
		says      string
	}{
		{`trait('age') == '18'`, 1, age + "what stands beside it is a text"},
		{`18 <= trait('plan')`, 7, plan + "what stands beside it is a number"},
		{`true && trait('age') != true`, 9, age + "what stands beside it is a condition"},
		{`trait('renewal') < '2026-01-01'`, 1, renewal + "what stands beside it is a text: write timestamp('2026-01-01')"},
		{`trait('age') > trait('plan')`, 1, age + "what stands beside it is a text"},
		{`trait('vip') < trait('vip')`, 1, vip + "< takes a number, text or time"},
		{`trait('age') in [17, '18']`, 1, age + "the list has a text"},
		{`trait('age') in trait('plan')`, 17, plan + "in looks into a list"},
		{`'a' in trait('plan')`, 8, plan + "in looks into a list"},
		{`trait('plan') * 2 > 3`, 1, plan + "* takes a number"},
		{`1 - trait('renewal') > 3`, 5, renewal + "- takes a number"},
		{`-trait('plan') > 3`, 2, plan + "- takes a number"},
		{`trait('age') + 'x' == '18x'`, 1, age + "what stands beside it is a text"},
		{`trait('vip') + trait('vip') == 2`, 1, vip + "+ takes a number, text or list"},
		{`trait('age').startsWith('1')`, 1, age + "startsWith() takes a text"},
		{`trait('tags').matches('a')`, 1, tags + "matches() takes a text"},
		{`size(trait('age')) > 1`, 6, age + "size() takes a text or list"},
		{`trait('plan').getHours() > 1`, 1, plan + "getHours() takes a time"},
		{`timestamp(trait('renewal')) > timestamp('2026-01-01')`, 11, renewal + "timestamp() takes a text"},
		{`trait('age') && known('age')`, 1, age + "&& takes a condition"},
		{`!trait('tags')`, 2, tags + "! takes a condition"},
		{`trait('plan') ? true : false`, 1, plan + "? : takes a condition"},
		{`trait('plan')[0] == 'a'`, 1, plan + "[ ] takes a list"},
		{`trait('age')`, 1, age + "a condition is true or false"},
		{`due('age', '1d')`, 1, age + "due() reads a time"},
		{`due('plan', '1d')`, 1, plan + "due() reads a time"},
	} {
		m, problems := compileText(t, declared(c.condition))
		if m != nil || len(problems) == 0 {
			t.Errorf("%s was accepted", c.condition)
			continue
		}
		const before = 21 // where the condition begins
		p := problems[0]
		if p.Message != c.says || p.Pos != (definition.Pos{Line: 6, Column: before + c.column}) || p.Warning {
			t.Errorf("%s: %v: %s\nwant column %d: %s", c.condition, p.Pos, p.Message, before+c.column, c.says)
		}
	}
	_, problems := compileText(t, strings.Replace(declared("true"), "when: \"true\"", "by: trait('tags')", 1))
	if len(problems) != 1 || problems[0].Message != tags+"a list names no segment" {
		t.Errorf("problems %v", problems)
	}
}

// What fits a declared type is accepted without a word, and so is everything about
// traits that are not declared, as before.
func TestDeclaredTraitsOfTheirTypeAreAccepted(t *testing.T) {
	for _, condition := range []string{
		`trait('age') >= 18 && trait('age') * 2 < 100 && trait('age') in [17, 18]`,
		`trait('plan') == 'pro' && trait('plan') + 's' < 'z' && trait('plan').contains('r') && size(trait('plan')) == 3`,
		`trait('vip') && !trait('vip') || trait('vip') == true`,
		`trait('renewal') > timestamp('2026-01-01') && trait('renewal').getMonth() == 0 && due('renewal', '-7d')`,
		`'vip' in trait('tags') && size(trait('tags')) > 1 && trait('tags')[0] == 'a'`,
		`known('age') && known('tags') && trait('age') == trait('other') && trait('plan') in trait('other')`,
		`trait('other') == 'x' || trait('other') > 5 || trait('other') || due('other', '1d')`,
	} {
		if m, problems := compileText(t, declared(condition)); m == nil || len(problems) > 0 {
			t.Errorf("%s: %v", condition, problems)
		}
	}
}
