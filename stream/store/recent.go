// SPDX-License-Identifier: Apache-2.0

package store

import (
	"github.com/VictoriaMetrics/fastcache"
	"github.com/cockroachdb/pebble/v2"
)

// recent holds what the users of the store hold no more, so that Get need not search
// the database, which takes some twenty times as long. It lies outside the garbage
// collector's memory, and never has anything else than the database has.
type recent struct{ cache *fastcache.Cache }

// recentStep is what the cache is a multiple of: it rounds up to that by itself.
const recentStep = 32 << 20

func newRecent(bytes int64) recent {
	bytes -= bytes % recentStep
	if bytes <= 0 {
		return recent{}
	}
	return recent{fastcache.New(int(bytes))}
}

// get appends the value to buf.
func (r recent) get(key, buf []byte) (value []byte, ok bool) {
	if r.cache == nil {
		return buf, false
	}
	return r.cache.HasGet(buf, key)
}

// set takes a value; one above 64 KiB is left out.
func (r recent) set(key, value []byte) {
	if r.cache != nil {
		r.cache.Set(key, value)
	}
}

// apply forgets what a batch has just written anew. Deadlines are not read one by one.
func (r recent) apply(batch *pebble.Batch) {
	if r.cache == nil {
		return
	}
	for ops := batch.Reader(); ; {
		_, key, _, ok, err := ops.Next()
		if err != nil {
			r.clear()
			return
		}
		if !ok {
			return
		}
		if len(key) <= kindAt || key[kindAt] != kindDeadline {
			r.cache.Del(key)
		}
	}
}

// clear forgets everything.
func (r recent) clear() {
	if r.cache != nil {
		r.cache.Reset()
	}
}
