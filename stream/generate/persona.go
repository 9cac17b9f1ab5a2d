// SPDX-License-Identifier: Apache-2.0

package generate

import (
	"encoding/hex"
	"math"
	"strconv"
)

// place is a country with what comes of it.
type place struct{ country, locale, zone, currency string }

// places, with their shares in percent.
var places = []struct { //nolint:gochecknoglobals // a table
	place
	percent int
}{
	{place{"US", "en-US", "America/New_York", "USD"}, 30},
	{place{"GB", "en-GB", "Europe/London", "GBP"}, 20},
	{place{"DE", "de-DE", "Europe/Berlin", "EUR"}, 20},
	{place{"FR", "fr-FR", "Europe/Paris", "EUR"}, 15},
	{place{"JP", "ja-JP", "Asia/Tokyo", "JPY"}, 10},
	{place{"BR", "pt-BR", "America/Sao_Paulo", "BRL"}, 5},
}

// tastes are favourite categories, topics and places to go, by the preset's own list.
const tastes = 8

// persona is what a customer is, apart from what it does: a function of the seed and its
// number alone.
type persona struct {
	user      string
	anonymous string
	place     *place
	taste     uint64
	level     float64 // of prices: 1 is usual
	app       float64 // share of the visits that are by the app
	phone     bool    // its browser is a phone's
	emails    bool    // agreed to be written to
}

func (w *World) persona(number uint32) persona {
	h := mix(w.settings.Seed ^ mix(uint64(number)|1<<40))
	p := persona{level: math.Exp(0.5 * normal(h+1)), phone: share(h+2) < 0.6, emails: share(h+3) < 0.85, taste: mix(h+4) % tastes}
	var b [20]byte
	p.user = string(fixed(append(b[:0], 'u'), uint64(number), 7))
	id := mix(h + 5)
	raw := [8]byte{byte(id >> 56), byte(id >> 48), byte(id >> 40), byte(id >> 32), byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}
	p.anonymous = string(hex.AppendEncode(append(b[:0], "a-"...), raw[:]))
	switch x := share(h + 6); {
	case x < 0.35: // never has the app
	case x < 0.55:
		p.app = 0.9
	default:
		p.app = 0.4
	}
	percent := int(mix(h+7) % 100)
	for i := range places {
		if percent -= places[i].percent; percent < 0 {
			p.place = &places[i].place
			break
		}
	}
	return p
}

// normal is a standard normal draw out of x, near enough for prices: the sum of twelve
// uniform ones less their mean.
func normal(x uint64) float64 {
	sum := -6.0
	for i := range uint64(12) {
		sum += share(x ^ i<<50)
	}
	return sum
}

// fixed is v with so many digits at least.
func fixed(b []byte, v uint64, digits int) []byte {
	var text [20]byte
	s := strconv.AppendUint(text[:0], v, 10)
	for range digits - len(s) {
		b = append(b, '0')
	}
	return append(b, s...)
}
