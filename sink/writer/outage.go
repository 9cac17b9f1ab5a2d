// SPDX-License-Identifier: Apache-2.0

package writer

import (
	"sync"
	"time"
)

// repeatAfter is how often an outage is told of again while it lasts.
const repeatAfter = time.Minute

// outage decides what of failing inserts is told to people: each kind of error once, and
// once a minute while it lasts, of however many inserts. It is safe for concurrent use.
type outage struct {
	mu    sync.Mutex
	since time.Time           // of the first failure; zero: all is well
	told  map[int32]time.Time // by code
}

// failed notes a failed attempt, and reports whether to tell of it.
func (o *outage) failed(code int32, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		o.since, o.told = now, map[int32]time.Time{}
	}
	if last, ok := o.told[code]; ok && now.Sub(last) < repeatAfter {
		return false
	}
	o.told[code] = now
	return true
}

// over notes that nothing fails any more, and returns how long it lasted.
func (o *outage) over(now time.Time) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	lasted := now.Sub(o.since)
	o.since = time.Time{}
	return lasted
}
