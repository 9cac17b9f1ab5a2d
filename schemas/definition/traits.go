// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"slices"
	"strings"
)

// TraitType says what a trait is. A trait that is something else is unknown.
type TraitType string

// The types of traits.
const (
	TraitNumber TraitType = "number" // a JSON number, or a text that is one
	TraitText   TraitType = "text"
	TraitBool   TraitType = "bool"
	TraitTime   TraitType = "time" // a text: RFC 3339, or a date, which is its midnight in UTC
	TraitList   TraitType = "list"
)

// Trait declares the type of one trait.
type Trait struct {
	Name Text // a top-level key of traits, whatever it is called
	Type TraitType
}

var traitTypes = []string{string(TraitNumber), string(TraitText), string(TraitBool), string(TraitTime), string(TraitList)}

// readTraits reads the types of traits.
func (r *fileReader) readTraits(n *node) {
	if n == nil {
		return
	}
	if n.kind != mapping {
		r.add(n.pos, "`traits` must be a mapping of names to types, not %s", n.kind)
		return
	}
	for _, e := range r.unique(n, "trait") {
		what := "trait " + quote(e.key.Value)
		if strings.TrimSpace(e.key.Value) == "" {
			r.add(e.key.Pos, "a trait's name cannot be empty")
			continue
		}
		if e.value.kind == null && !e.value.refused {
			r.add(e.key.Pos, "%s has no type: expected %s", what, listed(traitTypes))
			continue
		}
		t, ok := r.text(e.value, what)
		if !ok {
			continue
		}
		if !slices.Contains(traitTypes, t.Value) {
			r.add(t.Pos, "%s: %s is no type: expected %s%s", what, quote(t.Value), listed(traitTypes), Suggest(t.Value, traitTypes))
			continue
		}
		r.d.Traits = append(r.d.Traits, Trait{Name: e.key, Type: TraitType(t.Value)})
	}
}
