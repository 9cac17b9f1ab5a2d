// SPDX-License-Identifier: Apache-2.0

package record

// Header is one Kafka record header.
type Header struct{ Key, Value string }

// AppendHeaders appends the record's CloudEvents 1.0 attributes as the Kafka
// protocol binding's binary mode has them; source is the URI reference of the
// deployment that emits it. ce_id is the record's id, so ce_source and ce_id
// together name one change, on every replay.
func (r *Record) AppendHeaders(dst []Header, source string) []Header {
	return append(
		dst,
		Header{"ce_specversion", "1.0"},
		Header{"ce_id", r.ID.String()},
		Header{"ce_type", "lapwing." + string(r.Kind) + ".v1"},
		Header{"ce_source", source},
		Header{"ce_time", r.EffectiveAt.String()},
		Header{"content-type", "application/json"},
	)
}
