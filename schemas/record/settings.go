// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"lapwing/schemas/instant"
)

// SettingsKind is not public: settings stand among the aggregates.
const SettingsKind Kind = "settings"

// Settings tells by which settings a lane counts from an instant of its clock on, so
// that who queries knows what there can be.
type Settings struct {
	Lane       int32
	Since      instant.Instant // None: since its beginning
	Activity   string          // all, referenced or off
	Aggregates bool            // whether totals are kept
	SessionGap time.Duration
	CloseAfter time.Duration
	// Closed is the instant before which all periods had been closed by then; None: none.
	Closed instant.Instant
}

// Key is the key of the record: a lane has one for each of its settings.
func (s *Settings) Key() []byte {
	if s.Since.IsNone() {
		return []byte("settings")
	}
	return s.Since.AppendRFC3339([]byte("settings "))
}

const settingsHead = `{"kind":"settings",`

// IsSettings reports whether AppendJSON of a Settings wrote b.
func IsSettings(b []byte) bool { return strings.HasPrefix(string(b), settingsHead) }

// AppendJSON appends the settings as one JSON object, without a newline.
func (s *Settings) AppendJSON(dst []byte) []byte {
	dst = append(dst, settingsHead...)
	dst = append(dst, `"lane":`...)
	dst = strconv.AppendInt(dst, int64(s.Lane), 10)
	dst = append(dst, `,"since":`...)
	dst = AppendInstant(dst, s.Since)
	dst = append(dst, `,"activity":`...)
	dst = AppendString(dst, s.Activity)
	if !s.Aggregates { // else as before there was a choice
		dst = append(dst, `,"aggregates":false`...)
	}
	dst = append(dst, `,"session_gap_ms":`...)
	dst = strconv.AppendInt(dst, s.SessionGap.Milliseconds(), 10)
	dst = append(dst, `,"close_after_ms":`...)
	dst = strconv.AppendInt(dst, s.CloseAfter.Milliseconds(), 10)
	dst = append(dst, `,"closed":`...)
	dst = AppendInstant(dst, s.Closed)
	return append(dst, '}')
}

// DecodeSettings reads settings. Aggregates are counted if it is not said that they are not.
func DecodeSettings(b []byte) (Settings, error) {
	var w struct {
		Lane       int32  `json:"lane"`
		Since      moment `json:"since"`
		Activity   string `json:"activity"`
		Aggregates *bool  `json:"aggregates"`
		SessionGap int64  `json:"session_gap_ms"`
		CloseAfter int64  `json:"close_after_ms"`
		Closed     moment `json:"closed"`
	}
	if err := json.Unmarshal(b, &w); err != nil {
		return Settings{}, fmt.Errorf("decode settings: %w", err)
	}
	if w.Activity == "" || w.Lane < 0 {
		return Settings{}, errors.New("decode settings: lane and activity must be there")
	}
	return Settings{
		Lane: w.Lane, Since: w.Since.instant(), Activity: w.Activity, Aggregates: w.Aggregates == nil || *w.Aggregates,
		SessionGap: time.Duration(w.SessionGap) * time.Millisecond, CloseAfter: time.Duration(w.CloseAfter) * time.Millisecond,
		Closed: w.Closed.instant(),
	}, nil
}
