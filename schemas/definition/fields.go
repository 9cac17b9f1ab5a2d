// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fields are the values of a mapping by key.
type fields struct {
	r     *fileReader
	what  string // the mapping, for messages
	pos   Pos    // where something missing is reported
	named bool   // pos is the mapping's name, not where it begins
	by    map[string]entry
	known []string
}

// fields reads a mapping with these keys and reports any other, and those that
// come twice. what names the mapping in messages; ok is false if n is none.
func (r *fileReader) fields(n *node, what string, known ...string) (f *fields, ok bool) {
	if n.refused {
		return nil, false
	}
	if n.kind != mapping {
		r.add(n.pos, "%s must be a mapping with %s, not %s", what, listed(known), n.kind)
		return nil, false
	}
	f = &fields{r: r, what: what, pos: n.pos, by: map[string]entry{}, known: known}
	for _, e := range r.unique(n, "key") {
		if !slices.Contains(known, e.key.Value) {
			r.add(e.key.Pos, "%s has no key %s%s", what, quote(e.key.Value), suggestKey(e.key.Value, known))
			continue
		}
		if e.value.kind == null && !e.value.refused {
			r.add(e.key.Pos, "`%s` has no value: write one behind the colon", e.key.Value)
		}
		f.by[e.key.Value] = e
	}
	return f, true
}

// unique are the entries of a mapping but for those whose key came before, which
// it reports.
func (r *fileReader) unique(n *node, what string) []entry {
	var out []entry
	first := make(map[string]Pos, len(n.entries))
	for _, e := range n.entries {
		if at, twice := first[e.key.Value]; twice {
			r.add(e.key.Pos, "duplicate %s %s: it stands on line %d too; keep one of them", what, quote(e.key.Value), at.Line)
			continue
		}
		first[e.key.Value] = e.key.Pos
		out = append(out, e)
	}
	return out
}

// given reports whether the key is there, with a value or without.
func (f *fields) given(key string) bool { _, ok := f.by[key]; return ok }

// key is the key as it stands in the file.
func (f *fields) key(key string) Text { return f.by[key].key }

// get is the value of key, nil if it was left out or has none (reported already).
func (f *fields) get(key string) *node {
	if e, ok := f.by[key]; ok && e.value.kind != null {
		return e.value
	}
	return nil
}

// require is get, and reports a key that was left out.
func (f *fields) require(key string) *node {
	if !f.given(key) {
		f.missing("%s needs the key `%s`", f.what, key)
	}
	return f.get(key)
}

// missing reports what the mapping lacks.
func (f *fields) missing(format string, args ...any) {
	p := Problem{Pos: f.pos, Message: fmt.Sprintf(format, args...)}
	if !f.named {
		p.Width = 1 // not the key that happens to come first
	}
	f.r.append(p)
}

// items are the items of a list, which must not be empty.
func (r *fileReader) items(n *node, what string) []*node {
	switch {
	case n.kind != list:
		r.add(n.pos, "%s must be a list, not %s", what, n.kind)
	case len(n.items) == 0:
		r.add(n.pos, "%s is empty: list at least one", what)
	default:
		return n.items
	}
	return nil
}

// text is a scalar that is not blank.
func (r *fileReader) text(n *node, what string) (Text, bool) {
	switch {
	case n.refused:
	case n.kind == null:
		r.add(n.pos, "%s has no value: write one", what)
	case n.kind != scalar:
		r.add(n.pos, "%s must be a text, not %s", what, n.kind)
	case strings.TrimSpace(n.text.Value) == "":
		r.add(n.pos, "%s is empty: write something between the quotes", what)
	default:
		return n.text, true
	}
	return Text{}, false
}

// condition is a text for CEL; n may be nil. It keeps its words but for the white
// space around them.
func (r *fileReader) condition(n *node, what string) Text {
	if n == nil {
		return Text{}
	}
	t, ok := r.text(n, what)
	if !ok {
		return Text{}
	}
	t = t.trimmed()
	if t.style == plain {
		// A quote that does not end is what " #" leaves of a condition: YAML takes
		// the rest for a comment.
		end := t.cursorAt(len(t.Value))
		end.step(len(end.rest) - len(strings.TrimLeft(end.rest, " \t")))
		if strings.HasPrefix(end.rest, "#") && endsQuoted(t.Value) {
			r.add(end.pos, cutByComment, what)
			return Text{} // half a condition would only be found fault with again
		}
	}
	return t
}

// cutByComment says that " #" cut off a condition, which it names.
const cutByComment = "a comment begins here, inside a quoted text: quote %s as a whole"

// endsQuoted reports whether the condition stops inside a quoted text.
func endsQuoted(condition string) bool {
	quote := byte(0)
	for i := 0; i < len(condition); i++ {
		switch c := condition[i]; {
		case quote != 0 && c == '\\':
			i++ // the next one is escaped
		case c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		}
	}
	return quote != 0
}

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)

// name is a scalar that can be a name of the kind.
func (r *fileReader) name(n *node, kind string) (Text, bool) {
	t, ok := r.text(n, "the "+kind+"'s name")
	return t, ok && r.checkName(t, kind)
}

func (r *fileReader) checkName(t Text, kind string) bool {
	if namePattern.MatchString(t.Value) {
		return true
	}
	r.add(t.Pos, "%s %s is no name: expected a to z first, then a to z, 0 to 9, _ and -, at most 63 characters%s", kind, quote(t.Value), suggestName(t.Value))
	return false
}

// bound says which durations are allowed.
type bound bool

const (
	orZero    bound = false // 0s to MaxWindow
	aboveZero bound = true  // above 0, to MaxWindow
)

// duration is a duration, or missing if n is nil or none (which it reports).
func (r *fileReader) duration(n *node, what string, b bound, missing time.Duration) time.Duration {
	if n == nil {
		return missing
	}
	t, ok := r.text(n, what)
	if !ok {
		return missing
	}
	d, err := ParseDuration(t.Value)
	switch {
	case err != nil:
		r.add(t.Pos, "%s: %s", what, oneLine(err.Error()))
	case b == aboveZero && d == 0:
		r.add(t.Pos, "%s must be longer than 0, and is %s", what, t.Value)
	default:
		return d
	}
	return missing
}

// quote shows a text of the file in a message: on one line, and not at length.
func quote(s string) string {
	if runes := []rune(s); len(runes) > 60 {
		s = string(runes[:60]) + "…"
	}
	return strconv.Quote(s)
}

// listed are keys as a message lists them.
func listed(keys []string) string {
	if len(keys) == 1 {
		return "`" + keys[0] + "`"
	}
	last := len(keys) - 1
	return "`" + strings.Join(keys[:last], "`, `") + "` or `" + keys[last] + "`"
}
