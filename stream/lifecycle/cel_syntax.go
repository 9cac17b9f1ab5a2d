// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common"

	"lapwing/schemas/definition"
)

// syntaxIssues says what is wrong with an expression that cannot be read. It is one
// problem: what the parser says after the first is mostly what follows from it.
func (c *compiler) syntaxIssues(text definition.Text, issues *cel.Issues) {
	errors := slices.Clone(issues.Errors())
	slices.SortStableFunc(errors, func(a, b *common.Error) int {
		return compareLocations(a.Location, b.Location)
	})
	runes := []rune(text.Value)
	if at, message := misplaced(runes); message != "" {
		c.problem(text.At(at), "%s", message)
		return
	}
	e := errors[0]
	at := offsetOf(runes, e.Location.Line(), e.Location.Column())
	at, message := explainSyntax(runes, at, strings.SplitN(e.Message, "\n", 2)[0])
	c.problem(text.At(at), "%s", message)
}

func compareLocations(a, b common.Location) int {
	if d := a.Line() - b.Line(); d != 0 {
		return d
	}
	return a.Column() - b.Column()
}

// replacements are what people coming from other languages write, and what is written
// here instead; longer ones before those that they begin with.
var replacements = []struct{ wrong, right, means string }{
	{"<>", "!=", "differs from"},
	{"=<", "<=", "at most"},
	{"=>", ">=", "at least"},
	{"===", "==", "equals"},
	{"!==", "!=", "differs from"},
	{"=", "==", "equals"},
	{"&", "&&", "and"},
	{"|", "||", "or"},
}

// words are operators that are no words here.
var words = map[string]string{"and": "&&", "or": "||", "not": "!", "is": "==", "equals": "=="}

// misplaced looks for what is wrong whatever the parser makes of it: quotes and
// parentheses that are not closed, curly quotes, operators of other languages. message
// is empty if nothing is found.
func misplaced(runes []rune) (at int, message string) {
	var open []int
	for i := 0; i < len(runes); {
		switch r := runes[i]; r {
		case '\'', '"':
			end := quoteEnd(runes, i)
			if end-i < 2 || runes[end-1] != r {
				return i, fmt.Sprintf("a text begins with `%c` here and does not end: the second `%c` is missing", r, r)
			}
			i = end
			continue
		case '‘', '’', '“', '”', '„', '`', '´':
			return i, fmt.Sprintf("%c is no quote here: write '", r)
		case '(', '[', '{':
			open = append(open, i)
		case ')', ']', '}':
			if len(open) == 0 {
				return i, fmt.Sprintf("`%c` closes nothing: take it out, or open it before", r)
			}
			last := runes[open[len(open)-1]]
			if want := closes[last]; want != r {
				return i, fmt.Sprintf("`%c` stands here, and the `%c` before it is still open: `%c` is missing", r, last, want)
			}
			open = open[:len(open)-1]
		default:
			for _, s := range replacements {
				if operatorAt(runes, i) == s.wrong {
					return i, fmt.Sprintf("`%s` is no operator: for %s write `%s`", s.wrong, s.means, s.right)
				}
			}
			if strings.ContainsRune(operatorRunes, r) {
				i += len(operatorAt(runes, i))
				continue
			}
		}
		i++
	}
	if len(open) > 0 {
		at := open[len(open)-1]
		return at, fmt.Sprintf("`%c` is opened here and not closed: `%c` is missing", runes[at], closes[runes[at]])
	}
	return 0, ""
}

var closes = map[rune]rune{'(': ')', '[': ']', '{': '}'}

const operatorRunes = "=<>!&|"

// operatorAt is the run of operator characters at i, without a ! that denies what follows.
func operatorAt(runes []rune, i int) string {
	to := i
	for to < len(runes) && strings.ContainsRune(operatorRunes, runes[to]) {
		to++
	}
	for to > i+1 && runes[to-1] == '!' {
		to--
	}
	return string(runes[i:to])
}

// wordBefore is where one of words begins that stands just before at; -1 if none does.
func wordBefore(runes []rune, at int) int {
	end := at
	for end > 0 && runes[end-1] == ' ' {
		end--
	}
	from := end
	for from > 0 && isNameRune(runes[from-1]) {
		from--
	}
	if _, ok := words[strings.ToLower(string(runes[from:end]))]; !ok {
		return -1
	}
	return from
}

// explainSyntax says of what the parser stumbled over what to write instead, and where.
func explainSyntax(runes []rune, at int, message string) (int, string) {
	if at >= len(runes) || strings.Contains(message, "<EOF>") && blank(runes[at:]) {
		end := len(runes)
		for end > 0 && blank(runes[end-1:]) {
			end--
		}
		from := end
		for from > 0 && strings.ContainsRune("=<>!&|+-*/?:,", runes[from-1]) {
			from--
		}
		if last := string(runes[from:end]); last != "" {
			return from, fmt.Sprintf("nothing follows `%s`: what stands right of it is missing", last)
		}
		return end, "the expression ends too early"
	}
	end := tokenEnd(runes, at, false)
	token := string(runes[at:end])
	if operator, ok := words[strings.ToLower(token)]; ok {
		return at, fmt.Sprintf("`%s` is no operator: write `%s`", token, operator)
	}
	if from := wordBefore(runes, at); from >= 0 {
		word := string(runes[from:tokenEnd(runes, from, false)])
		return from, fmt.Sprintf("`%s` is no operator: write `%s`", word, words[strings.ToLower(word)])
	}
	// 90d is read as the number 90, and then a name.
	begin := at
	for begin > 0 && runes[begin-1] >= '0' && runes[begin-1] <= '9' {
		begin--
	}
	if d := string(runes[begin:end]); begin < at || runes[at] >= '0' && runes[at] <= '9' {
		if _, err := definition.ParseDuration(d); err == nil {
			return begin, fmt.Sprintf("a duration stands in quotes: '%s'", d)
		}
	}
	message = strings.TrimPrefix(message, "Syntax error: ")
	switch {
	case strings.HasPrefix(message, "token recognition error"):
		return at, fmt.Sprintf("`%s` means nothing here: take it out, or put it in quotes if it belongs to a text", token)
	case strings.HasPrefix(message, "mismatched input "), strings.HasPrefix(message, "extraneous input "), strings.HasPrefix(message, "no viable alternative "),
		strings.HasPrefix(message, "missing "):
		if runes[at] == ',' {
			return at, "`,` is not expected here: it stands between what is given to a function, and in no number"
		}
		if strings.ContainsRune("&|=<>+*/?:.", runes[at]) {
			return at, fmt.Sprintf("nothing stands before `%s`: what stands left of it is missing", token)
		}
		return at, fmt.Sprintf("`%s` is not expected here: is an operator, a comma or a quote missing before it?", token)
	case strings.HasPrefix(message, "reserved identifier: "):
		return at, fmt.Sprintf("`%s` is a word that the language keeps for itself: put it in quotes if it is a text", token)
	case strings.HasPrefix(message, "invalid argument to has() macro"):
		return at, "has() takes a path, such as has(properties.coupon)"
	case strings.HasPrefix(message, "invalid ") && strings.HasSuffix(message, " literal"):
		return at, fmt.Sprintf("`%s` is no number here: numbers are below 10^14", token)
	case strings.Contains(message, "recursion"), strings.Contains(message, "exceeds"):
		return at, "this is nested too deep: say it with fewer parentheses, or in segments that read one another"
	}
	return at, message
}
