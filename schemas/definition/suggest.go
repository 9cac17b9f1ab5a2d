// SPDX-License-Identifier: Apache-2.0

package definition

import "strings"

// Suggest is "; did you mean `x`?" for the one of known that word was most likely
// meant to be, else empty.
func Suggest(word string, known []string) string {
	const longest = 63 // of a name: beyond, no slip of the finger, and the cost is quadratic
	if len(word) > longest {
		return ""
	}
	word = strings.ToLower(word)
	best, least := "", 3
	for _, k := range known {
		// A third of a short word may differ: "to" is no misspelt "by".
		if d := distance(word, k); d < least && d <= (max(len(word), len(k))+1)/3 {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean `" + best + "`?"
}

// distance is the number of insertions, deletions, substitutions and swaps of
// neighbours between a and b (optimal string alignment), in bytes.
func distance(a, b string) int {
	before, last, now := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}
