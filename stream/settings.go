// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"

	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/schemas/record"
)

// announced is what a lane has told of the settings by which it counts: whoever queries must
// know what cannot be there.
type announced struct {
	committed record.Settings // Activity empty: nothing yet
	pending   *record.Settings
}

// load reads what was told last, as it stands in the changelog.
func (t *announced) load(value []byte) error {
	s, err := record.DecodeSettings(value)
	if err != nil {
		return fmt.Errorf("read the settings of a lane: %w", err)
	}
	t.committed = s
	return nil
}

// commit and rollback follow the lane's.
func (t *announced) commit() {
	if t.pending != nil {
		t.committed, t.pending = *t.pending, nil
	}
}

func (t *announced) rollback() { t.pending = nil }

// tell writes the settings of a lane out if they are not those it has told last.
func (f *fold) tell(l *lane) {
	def := l.model.Definition()
	now := record.Settings{
		Lane: l.id.Lane, Since: l.settings.committed.Since, Closed: l.settings.committed.Closed,
		Activity: string(f.cfg.Activity), Aggregates: f.cfg.Aggregates, SessionGap: def.SessionGap, CloseAfter: def.Aggregates.CloseAfter,
	}
	if now == l.settings.committed {
		return
	}
	now.Since, now.Closed = l.watermark(), l.totals.ClosedUntil()
	if l.committed == nil { // it has begun so
		now.Since = instant.None
	}
	l.settings.pending = &now
	value := f.out.bytes(now.AppendJSON)
	f.out.produce(f.topic.aggregates, l.id.Lane, f.out.keep(now.Key()), value, nil)
	f.note(l, mailbox.StateSettings, "", value)
}
