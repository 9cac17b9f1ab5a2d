// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// joining knows whether a member is between asking to join its group and learning
// what it was given. The client lets no offsets be committed meanwhile, and holds a
// lock over it; we wait outside, where nothing is held. Safe for concurrent use.
type joining struct {
	mu   sync.Mutex
	done chan struct{} // nil: not joining; closed at the end
}

var (
	_ kgo.HookBrokerWrite = (*joining)(nil)
	_ kgo.HookBrokerRead  = (*joining)(nil)
)

// OnBrokerWrite implements kgo.HookBrokerWrite.
func (j *joining) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if key == int16(kmsg.JoinGroup) && err == nil {
		j.mu.Lock()
		if j.done == nil {
			j.done = make(chan struct{})
		}
		j.mu.Unlock()
	}
}

// OnBrokerRead implements kgo.HookBrokerRead.
func (j *joining) OnBrokerRead(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if key == int16(kmsg.SyncGroup) || key == int16(kmsg.JoinGroup) && err != nil {
		j.mu.Lock()
		if j.done != nil {
			close(j.done)
			j.done = nil
		}
		j.mu.Unlock()
	}
}

// wait returns true once the member is not joining, and false after a while: then
// the transaction is better aborted, for which the client needs no lock, than kept
// open until it times out.
func (j *joining) wait(patience time.Duration) bool {
	j.mu.Lock()
	done := j.done
	j.mu.Unlock()
	if done == nil {
		return true
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// joinPatience is well below a transaction's timeout.
const joinPatience = 3 * time.Second
