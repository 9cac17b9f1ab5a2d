// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"encoding/json"
	"math/big"
	"slices"
	"sort"
	"time"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"

	"lapwing/schemas/instant"
)

// favourite is the text of the value that weighs most: each of the newest occurrences
// of event gives its value 2^-(k/1024), cut to 50 binary places, where k is the
// 1024ths of a half-life, cut, that it lies before the newest of them. Of equal ones
// the one seen last counts, then the lesser text.
func (v view) favourite(event, property string, halfLife time.Duration) value {
	occs := v.history.newestOf(event)
	known := v.knownTexts(event, property)
	sums, seen := map[string]*big.Int{}, map[string]instant.Instant{}
	for _, occ := range occs {
		text, ok := occ.message.favouriteText(property)
		if !ok || !slices.Contains(known, text) || occ.properties != nil && !occ.properties[property] {
			continue
		}
		if sums[text] == nil {
			sums[text] = new(big.Int)
		}
		age := int64(occs[len(occs)-1].at - occ.at)
		sums[text].Add(sums[text], weight(age*1024/halfLife.Milliseconds()))
		seen[text] = max(seen[text], occ.at)
	}
	var best string
	found := false
	for text, sum := range sums {
		if found {
			c := sum.Cmp(sums[best])
			if c < 0 || c == 0 && (seen[text] < seen[best] || seen[text] == seen[best] && text > best) {
				continue
			}
		}
		best, found = text, true
	}
	if !found {
		return value{}
	}
	return ofText(best)
}

// knownTexts are the values whose texts are remembered: those seen last, as many as
// the limit says, of the event whose messages they come from.
func (v view) knownTexts(event, property string) []string {
	event = v.oracle.root(event)
	last := map[string]instant.Instant{}
	for _, occ := range v.history.occurrences[event] {
		if text, ok := occ.message.favouriteText(property); ok && (occ.texts == nil || occ.texts[property]) {
			last[text] = max(last[text], occ.at)
		}
	}
	var texts []string
	for text := range last {
		texts = append(texts, text)
	}
	sort.Slice(texts, func(i, j int) bool {
		a, b := texts[i], texts[j]
		return last[a] > last[b] || last[a] == last[b] && a < b
	})
	return texts[:min(len(texts), v.oracle.def.Limits.FavouriteValues)]
}

// root is the event whose messages an event's occurrences have.
func (o *Oracle) root(event string) string {
	for _, e := range o.events {
		if e.name == event && e.def.From.Value != "" {
			return o.root(e.def.From.Value)
		}
	}
	return event
}

// collectFavourites notes the properties whose favourites an expression asks for.
func (o *Oracle) collectFavourites(x ast.Expr) {
	ast.PreOrderVisit(x, ast.NewExprVisitor(func(x ast.Expr) {
		if x.Kind() != ast.CallKind || x.AsCall().FunctionName() != "favourite" {
			return
		}
		event, _ := x.AsCall().Args()[0].AsLiteral().(types.String)
		property, _ := x.AsCall().Args()[1].AsLiteral().(types.String)
		if root := o.root(string(event)); !slices.Contains(o.favourites[root], string(property)) {
			o.favourites[root] = append(o.favourites[root], string(property))
		}
	}))
}

// favouriteText is the JSON text of a property that can be a favourite: a text, number
// or boolean of at most 256 bytes.
func (m *Message) favouriteText(property string) (string, bool) {
	switch m.at("properties", property).(type) {
	case string, json.Number, bool:
		text, ok := m.uniqueText(property)
		return text, ok && len(text) <= 256
	default:
		return "", false
	}
}

// weight is 2^(50 - k/1024), cut to a whole number.
func weight(k int64) *big.Int {
	const precision = 400
	w := new(big.Float).SetPrec(precision).SetMantExp(big.NewFloat(1), int(50-k/1024))
	root := new(big.Float).SetPrec(precision).SetFloat64(0.5)
	for bit := int64(512); bit > 0; bit /= 2 {
		root.Sqrt(root) // a half to the power of bit/1024
		if k&bit != 0 {
			w.Mul(w, root)
		}
	}
	out, _ := w.Int(nil)
	return out
}
