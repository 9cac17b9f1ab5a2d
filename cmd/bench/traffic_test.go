// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"math"
	"testing"
	"time"

	"lapwing/schemas/event"
	"lapwing/schemas/instant"
)

func TestSameSeedSameBytes(t *testing.T) {
	at := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	stream := func(seed uint64) (all []byte) {
		traffic := newTraffic(seed, 1000)
		for range 5000 {
			key, value := traffic.anyone(at)
			all = append(append(all, key...), value...)
		}
		return all
	}
	if !bytes.Equal(stream(7), stream(7)) {
		t.Error("the seed 7 made different events")
	}
	if bytes.Equal(stream(7), stream(8)) {
		t.Error("the seeds 7 and 8 made the same events")
	}
}

// What was handed out stays as it is: the producer reads it later.
func TestEventsStayAsTheyAre(t *testing.T) {
	traffic := newTraffic(1, 100)
	type pair struct{ key, value, keyThen, valueThen []byte }
	var pairs []pair
	for range 3000 {
		key, value := traffic.anyone(time.UnixMilli(0))
		pairs = append(pairs, pair{key, value, bytes.Clone(key), bytes.Clone(value)})
		_ = append(key, "overwritten"...) //nolint:gocritic // a caller may append
	}
	for i, p := range pairs {
		if !bytes.Equal(p.key, p.keyThen) || !bytes.Equal(p.value, p.valueThen) {
			t.Fatalf("event %d has changed", i)
		}
	}
}

func TestEventsAreAShopsTraffic(t *testing.T) {
	const n = 50_000
	traffic := newTraffic(1, 200_000)
	decoder := event.NewDecoder(event.NewProjection([]string{"properties", "total"}), event.DefaultLimits())
	var message event.Message
	counts := map[string]int{}
	size := 0
	at := time.Date(2024, 3, 1, 10, 11, 12, 345e6, time.UTC)
	for range n {
		key, value := traffic.anyone(at)
		if !json.Valid(value) {
			t.Fatalf("no JSON: %s", value)
		}
		if cause := decoder.Decode(value, instant.Of(at), &message); cause != "" {
			t.Fatalf("%s: %s", cause, value)
		}
		if !bytes.Equal(key, message.Customer) || !bytes.Equal(key, message.UserID) || message.Time != instant.Of(at) || string(message.Type) != "track" ||
			message.MessageID == nil || message.AnonymousID == nil {
			t.Fatalf("key %s: %s", key, value)
		}
		name := string(message.Event)
		if total := message.Raw(0); (name == "Order Completed") != (total != nil) {
			t.Fatalf("total %q: %s", total, value)
		}
		counts[name]++
		size += len(value)
	}
	for name, percent := range map[string]float64{
		"Order Completed": 4, "Product Viewed": 52, "Product Added": 16, "Product List Viewed": 12,
		"Products Searched": 6, "Product Removed": 3, "Cart Viewed": 4, "Email Opened": 3,
	} {
		if got := float64(counts[name]) / n * 100; math.Abs(got-percent) > 0.6 {
			t.Errorf("%s: %.2f %% of the events, want %.0f", name, got, percent)
		}
	}
	if mean := size / n; mean < 318 || mean > 328 {
		t.Errorf("%d bytes on average, want 323 or so", mean)
	}
}

func TestShapesAreAHundredPercent(t *testing.T) {
	sum := 0
	for _, s := range shapes() {
		sum += s.percent
	}
	if sum != 100 {
		t.Errorf("%d %%", sum)
	}
}

// Busy customers and rare ones, as Zipf's law has them: 200,000, of whom 170,000 occur.
func TestCustomersFollowZipf(t *testing.T) {
	traffic := newTraffic(1, 200_000)
	counts := map[uint64]int{}
	for range 2_000_000 {
		counts[traffic.zipf.Uint64()]++
	}
	if n := len(counts); n < 165_000 || n > 175_000 {
		t.Errorf("%d customers occur in 2 million events, want about 170,000", n)
	}
	if share := float64(counts[0]) / float64(counts[zipfV]); share < 1.8 || share > 2.4 { // 2^1.05
		t.Errorf("the busiest has %.2f times the events of rank %d, want 2.07", share, zipfV)
	}
}

func TestEachRankIsAnotherCustomer(t *testing.T) {
	for _, customers := range []int{2, 1000, 2 * customerStep, 3 * otherCustomerStep} {
		traffic := newTraffic(1, customers)
		seen := map[string]bool{}
		for rank := range customers {
			key, _ := traffic.of(uint64(rank), time.UnixMilli(0))
			seen[string(key)] = true
		}
		if len(seen) != customers {
			t.Errorf("%d ranks are %d customers", customers, len(seen))
		}
	}
}

func TestTimesOfABacklogRiseOverItsSpan(t *testing.T) {
	const n = 1000
	from := backlogStart()
	before := from
	for i := range n {
		at := spanned(from, backlogSpan, i, n)
		if at.Before(before) || at.Nanosecond()%1e6 != 0 {
			t.Fatalf("event %d at %s after %s", i, at, before)
		}
		before = at
	}
	if first := spanned(from, backlogSpan, 0, n); !first.Equal(from) {
		t.Errorf("begins at %s", first)
	}
	if last := from.Add(backlogSpan).Sub(before); last <= 0 || last > backlogSpan/n+time.Millisecond {
		t.Errorf("ends %s before the span does", last)
	}
}
