// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"lapwing/schemas/topics"
)

// Every member of the workers' group says in its metadata which instance it is and where
// that is reached. The group's coordinator tells these, with the lanes of each, to whoever
// asks: no other register is needed, and this one is never of another opinion than Kafka.

// address is what a member of the group says of itself.
type address struct {
	Instance string `json:"instance"`
	HTTP     string `json:"http,omitempty"` // host:port
}

func (c *Config) address() []byte {
	text, err := json.Marshal(address{Instance: c.Instance, HTTP: c.Advertise})
	if err != nil {
		return nil // not reached: two texts
	}
	return text
}

// locator finds out which instance has a lane. Safe for concurrent use.
type locator struct {
	cfg *Config
	adm *kadm.Client // nil while the worker does not run

	mutex sync.Mutex
	known map[int32]address // by lane
	asked time.Time
}

// locatorTrust is for how long an answer of the coordinator is believed.
const locatorTrust = time.Second

// use sets the client to ask with; nil: there is none any more.
func (d *locator) use(adm *kadm.Client) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.adm, d.known = adm, nil
}

// whereIs says where a lane is that this process does not have: *Elsewhere or *NotYet.
func (d *locator) whereIs(ctx context.Context, lane int32) error {
	d.mutex.Lock()
	known, adm := d.known, d.adm
	if time.Since(d.asked) > locatorTrust {
		known = nil
	}
	d.mutex.Unlock()
	if known == nil {
		if adm == nil {
			return &NotYet{"the worker does not run at the moment; /readyz says why", askAgain}
		}
		began := time.Now()
		var err error
		if known, err = d.describe(ctx, adm); err != nil {
			return err
		}
		d.mutex.Lock()
		d.known, d.asked = known, began
		d.mutex.Unlock()
	}
	owner, ok := known[lane]
	if !ok || owner.Instance == d.cfg.Instance { // given to us, and not here yet or any more
		return &NotYet{fmt.Sprintf("lane %d, which holds the customer, is moving between instances", lane), askAgain}
	}
	return &Elsewhere{Lane: lane, Instance: owner.Instance, HTTP: owner.HTTP}
}

// describe asks the coordinator who has which lanes.
func (d *locator) describe(ctx context.Context, adm *kadm.Client) (map[int32]address, error) {
	name := d.cfg.workerGroup()
	described, err := adm.DescribeGroups(ctx, name)
	group := described[name]
	if err == nil {
		err = group.Err
	}
	if err != nil {
		return nil, &NotYet{fmt.Sprintf("the members of group %s are not to be had: %v", name, err), askAgain}
	}
	if group.State != "Stable" {
		return nil, &NotYet{fmt.Sprintf("group %s is sharing out its lanes anew", name), askAgain}
	}
	owners := map[int32]address{}
	mailbox := d.cfg.topic(topics.Mailbox)
	for _, m := range group.Members {
		joined, ok := m.Join.AsConsumer()
		assigned, also := m.Assigned.AsConsumer()
		if !ok || !also {
			continue
		}
		var a address
		if json.Unmarshal(joined.UserData, &a) != nil || a.Instance == "" { // of an earlier version
			if a.Instance = m.ClientID; m.InstanceID != nil {
				a.Instance = *m.InstanceID
			}
		}
		for _, t := range assigned.Topics {
			if t.Topic != mailbox {
				continue
			}
			for _, lane := range t.Partitions {
				owners[lane] = a
			}
		}
	}
	return owners, nil
}
