// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Limits bound what one customer's state may hold of what the input says, so that no
// input makes a state too large to keep. They are part of the definition because they
// change results: the same events give the same records wherever they are read.
type Limits struct {
	// Traits is how many traits are kept, those that are null included; TraitBytes
	// what their names and values may take together, as JSON as it came. A trait
	// beyond is not taken: what was known of it stays.
	Traits, TraitBytes int
	// Held is how many messages wait under `lateness`; HeldBytes what is kept of them
	// may take. Beyond, the earliest is applied at once, as if its lateness were over.
	Held, HeldBytes int
	// ByValues is how many values each `by:` segment names in a customer's life. One
	// beyond names no segment.
	ByValues int
	// FavouriteValues is of how many values of a property, those seen last, the texts
	// are kept for `favourite`. Any other is no favourite.
	FavouriteValues int
}

// DefaultLimits hold where the definition sets none.
func DefaultLimits() Limits {
	return Limits{Traits: 1000, TraitBytes: 64 << 10, Held: 10_000, HeldBytes: 1 << 20, ByValues: 1000, FavouriteValues: 256}
}

// limit is one key of `limits`.
type limit struct {
	key  string
	into func(*Limits) *int
	max  int
	size bool // in bytes, with a unit
}

// limitKeys are the keys of `limits`. The greatest values still leave room in a
// record for the rest of a customer; what all of a definition adds up to is judged
// when it is compiled.
var limitKeys = []limit{
	{"traits", func(l *Limits) *int { return &l.Traits }, 10_000, false},
	{"trait_bytes", func(l *Limits) *int { return &l.TraitBytes }, 1 << 20, true},
	{"held", func(l *Limits) *int { return &l.Held }, 100_000, false},
	{"held_bytes", func(l *Limits) *int { return &l.HeldBytes }, 4 << 20, true},
	{"by_values", func(l *Limits) *int { return &l.ByValues }, 10_000, false},
	{"favourite_values", func(l *Limits) *int { return &l.FavouriteValues }, 4096, false},
}

func (r *fileReader) readLimits(top *fields) {
	r.d.Limits = DefaultLimits()
	n := top.get("limits")
	if n == nil {
		return
	}
	r.d.LimitsPos = top.key("limits").Pos
	keys := make([]string, len(limitKeys))
	for i, k := range limitKeys {
		keys[i] = k.key
	}
	f, ok := r.fields(n, "`limits`", keys...)
	if !ok {
		return
	}
	if len(n.entries) == 0 {
		r.add(n.pos, "`limits` is empty: set one, or take the key out")
	}
	for _, k := range limitKeys {
		v := f.get(k.key)
		if v == nil {
			continue
		}
		if t, ok := r.text(v, "`"+k.key+"`"); ok {
			most := strconv.Itoa(k.max)
			if k.size {
				most = formatSize(k.max)
			}
			size, err := parseSize(t, k.size)
			switch {
			case err != nil:
				r.add(t.Pos, "`%s`: %s", k.key, oneLine(err.Error()))
			case size < 1 || size > k.max:
				r.add(t.Pos, "`%s` is %s: expected 1 to %s", k.key, t.Value, most)
			default:
				*k.into(&r.d.Limits) = size
			}
		}
	}
}

// sizeUnits are the units a size may have.
var sizeUnits = []struct {
	suffix string
	bytes  int
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}}

// parseSize reads a whole number, with a unit if units says that there may be one.
func parseSize(t Text, units bool) (int, error) {
	digits, unit := t.Value, 1
	if units {
		for _, u := range sizeUnits {
			if rest, ok := strings.CutSuffix(digits, u.suffix); ok {
				digits, unit = rest, u.bytes
			}
		}
	}
	n, err := strconv.Atoi(digits)
	switch ok := t.style == plain || unit > 1; {
	case err == nil && ok && digits == strconv.Itoa(n):
		if n > (1<<40)/unit {
			n = (1 << 40) / unit
		}
		return n * unit, nil
	case units:
		return 0, fmt.Errorf("%s is no size: write a whole number of bytes, or one with KiB or MiB, such as 64KiB", quote(t.Value))
	default:
		return 0, fmt.Errorf("%s is no whole number", quote(t.Value))
	}
}

// formatSize is a size as it is written in a definition.
func formatSize(n int) string {
	for _, u := range slices.Backward(sizeUnits) {
		if n%u.bytes == 0 {
			return strconv.Itoa(n/u.bytes) + u.suffix
		}
	}
	return strconv.Itoa(n)
}
