// SPDX-License-Identifier: Apache-2.0

package event_test

import (
	"testing"

	"lapwing/schemas/event"
	"lapwing/schemas/instant"
)

// order is a message of 330 bytes, as an e-commerce site sends it.
const order = `{"type":"track","event":"Order Completed","messageId":"ajs-9f2c4f1b0e6d4a3d8c1b","userId":"customer-0012345","timestamp":"1997-01-01T12:34:56.789Z","properties":{"order_id":"ord-000012345","total":29.33,"revenue":27.50,"currency":"USD","products":[{"product_id":"cd-1","quantity":2,"price":14.50}]},"context":{"timezone":"Europe/Paris"}}`

func orderProjection() *event.Projection {
	return event.NewProjection([]string{"properties", "total"}, []string{"properties", "order_id"}, []string{"properties", "products"}, []string{"properties", "currency"})
}

func BenchmarkDecode(b *testing.B) {
	d := event.NewDecoder(orderProjection(), event.DefaultLimits())
	raw := []byte(order)
	var m event.Message
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if cause := d.Decode(raw, instant.None, &m); cause != "" {
			b.Fatal(cause)
		}
	}
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	d := event.NewDecoder(orderProjection(), event.DefaultLimits())
	raw := []byte(order)
	escaped := []byte(`{"type":"tr\u0061ck","userId":"J\u00fcrgen \"J\"","timest\u0061mp":"2001-01-01","properties":{"\u0074otal":1}}`)
	var m event.Message
	allocs := testing.AllocsPerRun(100, func() {
		for _, b := range [][]byte{raw, escaped} {
			if cause := d.Decode(b, instant.None, &m); cause != "" {
				t.Fatal(cause)
			}
		}
	})
	if allocs != 0 {
		t.Errorf("Decode makes %v allocations, want 0", allocs)
	}
	if string(m.UserID) != `Jürgen "J"` || string(m.Raw(0)) != "1" {
		t.Errorf("userId %q and total %q, want %q and 1", m.UserID, m.Raw(0), `Jürgen "J"`)
	}
}
