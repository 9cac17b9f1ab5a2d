// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"regexp"
	"slices"
)

var named = regexp.MustCompile(regexp.QuoteMeta(Placeholder) + `\.(\w+)`)

// Reads are the tables and views that a query reads, itself or through the views in it,
// sorted. Of what has no migration it has only the name.
func Reads(query string) ([]string, error) {
	objects, err := Objects()
	if err != nil {
		return nil, err
	}
	views := map[string]string{}
	for i := range objects {
		if objects[i].Kind == View {
			views[objects[i].Name] = objects[i].Select()
		}
	}
	var all []string
	for open := []string{query}; len(open) > 0; open = open[1:] {
		for _, m := range named.FindAllStringSubmatch(open[0], -1) {
			if !slices.Contains(all, m[1]) {
				all = append(all, m[1])
				open = append(open, views[m[1]])
			}
		}
	}
	slices.Sort(all)
	return all, nil
}
