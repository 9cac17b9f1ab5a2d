// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"lapwing/schemas/instant"
)

// samplePerson is who a message is from; the last two are anonymous at first.
type samplePerson struct{ anonymous, known string }

var samplePeople = []samplePerson{
	{"", `"userId":"ada"`},
	{"", `"userId":17,"anonymousId":"x"`},
	{`"anonymousId":"eve"`, `"userId":"eve","anonymousId":"eve"`},
	{`"userId":null,"anonymousId":"bob"`, `"userId":"bob"`},
}

// sampleStart lies a day before Berlin's clocks go forward; 2026-03-29 is a Sunday.
var sampleStart = instant.Of(time.Date(2026, 3, 28, 0, 0, 0, 0, time.UTC))

// messages are the lines of a few customers in the order of arrival, and the
// instant to play on to: most stand a window, or a millisecond less or more, after
// another one; many share an instant; some arrive late; some are duplicates.
func (s *sampler) messages() (lines []string, until instant.Instant) {
	s.bias = s.IntN(12)
	times := []instant.Instant{s.start.Add(time.Duration(s.IntN(48)) * time.Hour)}
	known := map[int]bool{}
	people := 1 + s.IntN(3)
	late := pick(s, 0, 0, 10, 40)
	clock := times[0]
	for n := range 1 + s.IntN(pick(s, 6, 20, 40)) {
		switch {
		case s.chance(25) && n > 0: // the same instant
		case s.chance(late): // anywhere before
			times = append(times, max(s.start, clock.Add(-s.span())))
		default:
			times = append(times, pick(s, times...).Add(s.span()))
		}
		at := min(times[len(times)-1], instant.Max-1)
		if at < clock && late == 0 {
			at = clock
		}
		clock = max(clock, at)
		p := s.IntN(people)
		if s.chance(10) {
			p = s.IntN(len(samplePeople))
		}
		who := samplePeople[p].anonymous
		if known[p] || who == "" || s.chance(10) {
			known[p] = s.chance(80)
			who = samplePeople[p].known
		}
		lines = append(lines, s.message(n, who, at))
	}
	until = clock
	if s.chance(80) {
		until = pick(s, times...).Add(s.span())
	}
	if s.chance(10) {
		until = until.Add(100 * 24 * time.Hour)
	}
	return lines, min(max(until, s.start), instant.Max-1)
}

// span is the length of a window, or a millisecond less or more, or some hours.
func (s *sampler) span() time.Duration {
	if s.chance(40) {
		return time.Duration(s.IntN(30)) * 15 * time.Minute
	}
	w := pick(s, time.Hour, 2*time.Hour, 6*time.Hour, 24*time.Hour, 36*time.Hour, 48*time.Hour, 72*time.Hour, 59*time.Minute)
	return w + time.Duration(s.IntN(3)-1)*time.Millisecond
}

func (s *sampler) message(n int, who string, at instant.Instant) string {
	fields := []string{who}
	add := func(format string, args ...any) { fields = append(fields, fmt.Sprintf(format, args...)) }
	stamp := at.String()
	if s.chance(15) {
		stamp = at.Time().In(time.FixedZone("", 5*3600+45*60)).Format("2006-01-02T15:04:05.000-07:00")
	}
	add(`"%s":"%s"`, pick(s, "timestamp", "timestamp", "timestamp", "originalTimestamp"), stamp)
	switch {
	case s.chance(12) && n > 0:
		add(`"messageId":"m%02d"`, s.IntN(n)) // most likely used before
	case s.chance(90):
		add(`"messageId":"m%02d"`, s.IntN(3)*30+n)
	default:
		add(`"messageId":%s`, pick(s, `""`, "null"))
	}
	kind := s.IntN(12)
	if s.chance(40) {
		kind = pick(s, s.bias, s.bias, 0, 4) // 4 takes refunds
	}
	switch kind {
	case 0, 1, 2, 3:
		add(`"type":"track","event":%s`, pick(s, `"Order Completed"`, `"Order Completed"`, `"Order\u0020Completed"`))
		add(`"properties":%s`, s.properties())
	case 4:
		add(`"type":"track","event":"%s"`, pick(s, "Order Refunded", "Order Cancelled"))
		add(`"properties":%s`, s.properties())
	case 5:
		add(`"type":"track","event":%s`, pick(s, `"Clicked"`, `"Clicked"`, `"Other"`, "5", "null"))
		add(`"properties":%s`, pick(s, s.properties(), s.properties(), "null", "[]", `"x"`))
	case 6, 7:
		add(`"type":"page","name":"%s"`, pick(s, "Home", "Shop"))
		add(`"properties":%s`, s.properties())
	case 8:
		add(`"type":"screen","name":%s`, pick(s, `"Home"`, `"Shop"`, "7"))
	case 9, 10:
		add(`"type":"identify","traits":%s`, s.traits())
	case 11:
		if s.chance(50) {
			add(`"type":"group","groupId":%s,"traits":{"country":"XX"}`, pick(s, `"acme"`, `"zeta"`, "12", "null", "{}"))
		} else {
			add(`"type":"%s"`, pick(s, "alias", "unheard-of"))
		}
	}
	if s.chance(40) {
		var context []string
		if s.chance(70) {
			context = append(context, `"timezone":`+pick(s, `"Asia/Tokyo"`, `"America/Los_Angeles"`, `"Europe/Berlin"`, `"Nowhere/Land"`, "5"))
		}
		if s.chance(40) {
			context = append(context, `"traits":`+s.traits())
		}
		context = append(context, `"locale":`+pick(s, `"de-DE"`, `"en"`, "null"), `"app":`+pick(s, `{"beta":true}`, `{"beta":"true"}`, "null"))
		add(`"context":{%s}`, strings.Join(context, ","))
	}
	s.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	if s.chance(3) { // of duplicate keys the last counts
		fields = slices.Insert(fields, 0, `"properties":{"total":77,"order_id":"o9"}`, `"event":"Order Refunded"`)
	}
	return "{" + strings.Join(fields, ",") + "}"
}

func (s *sampler) properties() string {
	var fields []string
	maybe := func(percent int, name string, values ...string) {
		if s.chance(percent) {
			fields = append(fields, `"`+name+`":`+pick(s, values...))
		}
	}
	maybe(85, "total", "10", "10.5", "20", `"12.50"`, "0.00005", "0.00015", "10.00025", "-3", "null", `"abc"`, "true", "1e1", `"1E+1"`,
		"99999999999999.9", "100000000000000", "0", "12.34505", `" 1"`, "21", "7")
	maybe(80, "order_id", `"o1"`, `"o2"`, `"o3"`, "1", `"1"`, "1.0", "null", "true", `""`)
	maybe(5, "total", "8")
	maybe(60, "n", "1", "2", "2", "3", `"2"`, "0", "null", "2.0")
	maybe(60, "channel", `"web"`, `"app"`, "5", "null", `"5"`, `"w\u00e9b"`)
	maybe(40, "coupon", `"X"`, "null", `{"code":1}`, `"gold"`)
	maybe(50, "items", "[]", `[{"price":12,"sku":"a"}]`, `[{"price":4},{"price":12.5,"sku":null}]`,
		`[{"price":6,"sku":"a"},{"price":7,"sku":"b"}]`, `[{"sku":"z"}]`, `{"price":12}`, "null", `[{"price":"12"},3]`)
	maybe(30, "control", "true", "true", "false", `"true"`, "null", "1")
	maybe(20, "currency", `"USD"`, `"USD"`, `"EUR"`, "null", "5", `""`)
	maybe(30, "tags", `["x","y"]`, `["y"]`, "[]", `"x"`, `["x", 1]`)
	s.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	return "{" + strings.Join(fields, ",") + "}"
}

func (s *sampler) traits() string {
	var fields []string
	maybe := func(percent int, name string, values ...string) {
		if s.chance(percent) {
			fields = append(fields, `"`+name+`":`+pick(s, values...))
		}
	}
	maybe(60, "country", `"FR"`, `"DE"`, `"FR"`, "null", "5", "true", "{}", `["FR"]`, `""`)
	maybe(50, "tier", `"gold"`, `"silver"`, "5", "5.0", "null", "1.50", "false")
	maybe(50, "score", "1", "1.5", "2", `"2"`, "null", "1.50005")
	maybe(40, "birthday", `"2026-03-29"`, `"2026-03-30T06:00:00Z"`, `"2026-03-31T01:00:00.001+02:00"`, `"soon"`, "null", "1774742400", `"2026-04-02"`)
	maybe(30, "renewal", `"2026-03-28"`, `"2026-04-01T12:00:00Z"`, `"2040-01-01"`, `"1969-01-01"`, "true")
	maybe(10, "group", `"acme"`, `"other"`)
	maybe(30, "age", "17", "18", "18.0", `"18"`, `"18.50"`, `" 18"`, `"x"`, "true", "null", `["18"]`)
	maybe(30, "since", `"2026-03-29"`, `"2026-03-30T06:00:00Z"`, `"2026-03-31T01:00:00.001+02:00"`, `"soon"`, "1774742400", "null")
	maybe(25, "vip", "true", "false", `"true"`, "1", "null")
	maybe(40, "consent_email", "true", "true", "false", `"true"`, "null")
	maybe(25, "nick", `"gold"`, `"go\u006cd"`, "5", "true", "null", `""`)
	maybe(25, "tags", `["a"]`, `["b","a"]`, "[]", `"a"`, `{"a":1}`, "null")
	return "{" + strings.Join(fields, ",") + "}"
}
