// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"sync"
	"time"

	"lapwing/sink/batch"
)

// pace is a batch.Pace that all batches share.
type pace struct {
	mu  sync.Mutex
	now batch.Pace
}

func (p *pace) load() batch.Pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *pace) tooManyParts(at time.Time, m *metrics) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.now.TooManyParts(at)
	m.factor.Set(float64(p.now.Factor()))
}

func (p *pace) written(at time.Time, m *metrics) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.now.Written(at)
	m.factor.Set(float64(p.now.Factor()))
}
