// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"errors"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// errUnanswered says that a transaction was ended, and that the request to end it was
// sent before without an answer: it may still be on its way.
var errUnanswered = errors.New("the request to end a transaction was sent twice, and the first may arrive late: a new producer is needed")

// unanswered is a client's hook that notes an EndTxn whose answer did not come. The
// client sends it again by itself and may then report success. Before transaction
// protocol 2 the next transaction has the same producer epoch, and the first request,
// were it to arrive in the middle of it, would commit half of it. Only a new epoch
// keeps it out, so the session is then rebuilt. It belongs to one client.
type unanswered struct{ noted atomic.Bool }

var _ kgo.HookBrokerE2E = (*unanswered)(nil)

// OnBrokerE2E is called by the client for each request.
func (u *unanswered) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	if key == int16(kmsg.EndTxn) && (e2e.WriteErr != nil || e2e.ReadErr != nil) {
		u.noted.Store(true)
	}
}
