// SPDX-License-Identifier: Apache-2.0

// Package instant is the one notion of time in Lapwing's records and state:
// a whole number of milliseconds since 1970-01-01T00:00:00Z.
//
// Inputs are cut, never rounded, to the millisecond; records print RFC 3339 in
// UTC, with milliseconds only when they are not zero. The package has no clock.
package instant

import (
	"math"
	"time"
)

// Instant is milliseconds since the Unix epoch, UTC.
type Instant int64

const (
	// None is "no instant": null in a record, never in a state.
	None Instant = math.MinInt64
	// Min is the first instant that an event time may be.
	Min Instant = 0
	// Max is the first instant after those that an event time may be: Min <= t < Max.
	Max Instant = 7_289_654_400_000 // 2201-01-01T00:00:00Z
)

// Of cuts t to the millisecond.
func Of(t time.Time) Instant { return Instant(t.UnixMilli()) }

// Time is i as a time.Time in UTC. It must not be None.
func (i Instant) Time() time.Time { return time.UnixMilli(int64(i)).UTC() }

// IsNone reports whether i is absent.
func (i Instant) IsNone() bool { return i == None }

// Add is i moved by d, which is cut to the millisecond. None stays None.
func (i Instant) Add(d time.Duration) Instant {
	if i == None {
		return None
	}
	return i + Instant(d/time.Millisecond)
}

// AppendRFC3339 appends i as "2006-01-02T15:04:05[.000]Z".
func (i Instant) AppendRFC3339(dst []byte) []byte {
	t := i.Time()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	dst = pad(dst, year, 4)
	dst = append(dst, '-')
	dst = pad(dst, int(month), 2)
	dst = append(dst, '-')
	dst = pad(dst, day, 2)
	dst = append(dst, 'T')
	dst = pad(dst, hour, 2)
	dst = append(dst, ':')
	dst = pad(dst, minute, 2)
	dst = append(dst, ':')
	dst = pad(dst, second, 2)
	if ms := t.Nanosecond() / int(time.Millisecond); ms != 0 {
		dst = append(dst, '.')
		dst = pad(dst, ms, 3)
	}
	return append(dst, 'Z')
}

// String is the RFC 3339 form; "none" for None.
func (i Instant) String() string {
	if i == None {
		return "none"
	}
	return string(i.AppendRFC3339(make([]byte, 0, 24)))
}

func pad(dst []byte, v, width int) []byte {
	var buf [8]byte
	p := len(buf)
	for n := 0; n < width || v > 0; n++ {
		p--
		buf[p] = byte('0' + v%10)
		v /= 10
	}
	return append(dst, buf[p:]...)
}
