// SPDX-License-Identifier: Apache-2.0

package instant

// Parse reads the time of an event: an RFC 3339 time, or a date alone, which is its
// midnight in UTC. ok is false if text is neither, or if the time is not in
// Min <= t < Max.
//
// It keeps to the grammar of RFC 3339 section 5.6: any offset from -23:59 to
// +23:59 is allowed, the letters T and Z may be small, a fraction of a second has
// one digit or more after a full stop and is cut to the millisecond. Stricter than
// that RFC, second 60 is invalid: a leap second has no instant here. Nothing
// else of ISO 8601 is understood (no hour 24, week dates, blanks or commas).
// It does not allocate.
func Parse[T string | []byte](text T) (i Instant, ok bool) {
	if i, ok = ParseAny(text); !ok || i < Min || i >= Max {
		return None, false
	}
	return i, true
}

// ParseAny is Parse without bounds: any time of the years 0000 to 9999. Deadlines
// in records may lie beyond the last time an event can have.
func ParseAny[T string | []byte](text T) (i Instant, ok bool) {
	if len(text) < 10 || text[4] != '-' || text[7] != '-' {
		return None, false
	}
	century, year := digits2(text, 0), digits2(text, 2)
	month, day := digits2(text, 5), digits2(text, 8)
	if century < 0 || year < 0 || month < 1 || month > 12 {
		return None, false
	}
	if year += century * 100; day < 1 || day > daysIn(year, month) {
		return None, false
	}
	ms := int64(daysSinceEpoch(year, month, day)) * msPerDay
	if len(text) > 10 {
		clock, valid := parseClock(text)
		if !valid {
			return None, false
		}
		ms += clock
	}
	if i = Instant(ms); i < year0 || i >= year10000 { // by its offset
		return None, false
	}
	return i, true
}

const (
	year0     Instant = -62_167_219_200_000 // 0000-01-01T00:00:00Z
	year10000 Instant = 253_402_300_800_000 // 10000-01-01T00:00:00Z

	msPerSecond = 1000
	msPerMinute = 60 * msPerSecond
	msPerHour   = 60 * msPerMinute
	msPerDay    = 24 * msPerHour
)

// parseClock reads "Thh:mm:ss[.fraction](Z|±hh:mm)" from index 10 of text and
// returns the milliseconds since that date's midnight in UTC, offset taken off.
func parseClock[T string | []byte](text T) (ms int64, ok bool) {
	if len(text) < 20 || text[10]|0x20 != 't' || text[13] != ':' || text[16] != ':' {
		return 0, false
	}
	hour, minute, second := digits2(text, 11), digits2(text, 14), digits2(text, 17)
	if hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 {
		return 0, false
	}
	ms = int64(hour)*msPerHour + int64(minute)*msPerMinute + int64(second)*msPerSecond
	i := 19
	if text[i] == '.' {
		i++
		start, unit := i, int64(msPerSecond/10)
		for i < len(text) && text[i] >= '0' && text[i] <= '9' {
			ms += int64(text[i]-'0') * unit // unit is 0 after three digits: cut, not rounded
			unit /= 10
			i++
		}
		if i == start || i == len(text) {
			return 0, false
		}
	}
	switch zone := text[i]; {
	case zone|0x20 == 'z':
		return ms, i+1 == len(text)
	case zone == '+' || zone == '-':
		if i+6 != len(text) || text[i+3] != ':' {
			return 0, false
		}
		offHour, offMinute := digits2(text, i+1), digits2(text, i+4)
		if offHour < 0 || offHour > 23 || offMinute < 0 || offMinute > 59 {
			return 0, false
		}
		offset := int64(offHour)*msPerHour + int64(offMinute)*msPerMinute
		if zone == '-' {
			offset = -offset
		}
		return ms - offset, true
	default:
		return 0, false
	}
}

// digits2 is the number that two digits at text[i:] form, or -1 if they are none.
func digits2[T string | []byte](text T, i int) int {
	tens, ones := text[i]-'0', text[i+1]-'0' // bytes: what is below '0' wraps around
	if tens > 9 || ones > 9 {
		return -1
	}
	return int(tens)*10 + int(ones)
}

func isLeap(year int) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

func daysIn(year, month int) int {
	switch month {
	case 2:
		if isLeap(year) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	default:
		return 31
	}
}

// daysSinceEpoch counts the days from 1970-01-01 to a date of the proleptic
// Gregorian calendar, years 0 to 9999. Years are taken to begin in March, so that
// the leap day is a year's last and the days before a month follow one formula.
func daysSinceEpoch(year, month, day int) int {
	month -= 3
	if month < 0 {
		month += 12
		year--
	}
	year += 400 // a whole cycle of the calendar, so that no division sees a negative year
	dayOfYear := (153*month+2)/5 + day - 1
	const cycle, fromMarchZero = 146_097, 719_468 // days in 400 years; days from 0000-03-01 to 1970-01-01
	return year*365 + year/4 - year/100 + year/400 + dayOfYear - cycle - fromMarchZero
}
