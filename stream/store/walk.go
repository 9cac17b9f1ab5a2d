// SPDX-License-Identifier: Apache-2.0

package store

import "github.com/cockroachdb/pebble/v2"

// Walk calls fn with what the lane has of a kind behind an id, in the order of the
// ids, until fn says that it has enough. id and value are valid only during the call.
func (s *Store) Walk(lane Lane, kind byte, behind []byte, fn func(id, value []byte) (more bool, err error)) error {
	prefix := appendKey(nil, lane, kind, nil)
	from := prefix
	if len(behind) > 0 {
		from = append(appendKey(nil, lane, kind, behind), 0)
	}
	return s.scan(from, after(prefix), func(key []byte, it *pebble.Iterator) (bool, error) {
		value, err := it.ValueAndErr()
		if err != nil {
			return false, classify(err)
		}
		return fn(key[len(prefix):], value)
	})
}

// Drop forgets all lanes of a generation.
func (s *Store) Drop(generation uint32) error {
	prefix := appendPrefix(nil, Lane{Generation: generation})[:1+4]
	return classify(s.db.DeleteRange(prefix, after(prefix), pebble.NoSync))
}
