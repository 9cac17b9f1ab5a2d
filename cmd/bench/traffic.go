// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"strconv"
	"time"
)

// Customers are drawn by a Zipf law with these parameters: of 200,000, some 170,000
// occur in 2 million events, and the busiest in one of seventy.
const (
	zipfS = 1.05
	zipfV = 50
)

// maxCustomers is what the eight digits of an id can tell apart.
const maxCustomers = 100_000_000

// customerStep scatters the ranks over the ids, so that busy customers share no prefix. A
// prime, so that the scattering is one to one unless it divides the number of customers.
const (
	customerStep      = 7919
	otherCustomerStep = 7907
)

// traffic makes track messages of the Segment spec as a shop sends them, 323 bytes on
// average. The same seed and calls give the same bytes. It belongs to one goroutine.
type traffic struct {
	rng       *rand.Rand
	zipf      *rand.Zipf
	customers uint64
	step      uint64
	slab      []byte // where keys and values are cut from; never written twice
}

func newTraffic(seed uint64, customers int) *traffic {
	rng := rand.New(rand.NewPCG(seed, 0x6c617077696e67)) //nolint:gosec // reproducible on purpose
	t := &traffic{
		rng: rng, zipf: rand.NewZipf(rng, zipfS, zipfV, uint64(customers-1)),
		customers: uint64(customers), step: customerStep,
	}
	if t.customers%customerStep == 0 {
		t.step = otherCustomerStep
	}
	return t
}

// anyone is a message of a customer drawn by the Zipf law.
func (t *traffic) anyone(at time.Time) (key, value []byte) {
	return t.of(t.zipf.Uint64(), at)
}

// of is a message of the customer of this rank, 0 being the busiest. Key and value are the
// caller's for good.
func (t *traffic) of(rank uint64, at time.Time) (key, value []byte) {
	const enough = 1 << 10 // for one key and one message
	if cap(t.slab)-len(t.slab) < enough {
		t.slab = make([]byte, 0, 256<<10)
	}
	begin := len(t.slab)
	b := fixed(append(t.slab, "u-"...), (rank*t.step+13)%t.customers, 8)
	middle := len(b)
	key = b[begin:middle:middle]
	b = t.message(b, key, at)
	t.slab = b
	return key, b[middle:len(b):len(b)]
}

// shape is one kind of message: its share in percent, and its properties.
type shape struct {
	event   string
	percent int
	fill    func(t *traffic, b []byte) []byte
}

// shapes are a shop's traffic: 4 % orders, half of it views, some of other kinds.
func shapes() []shape {
	return []shape{
		{"Product Viewed", 52, (*traffic).product},
		{"Product Added", 16, (*traffic).product},
		{"Product List Viewed", 12, (*traffic).list},
		{"Products Searched", 6, (*traffic).list},
		{"Cart Viewed", 4, (*traffic).list},
		{"Order Completed", 4, (*traffic).order},
		{"Product Removed", 3, (*traffic).product},
		{"Email Opened", 3, (*traffic).email},
	}
}

// allShapes is shapes by percent: entry n is the shape of the draw n of 100.
var allShapes = func() (table [100]shape) { //nolint:gochecknoglobals // a table, computed once
	n := 0
	for _, s := range shapes() {
		for range s.percent {
			table[n] = s
			n++
		}
	}
	return table
}()

func (t *traffic) message(b, customer []byte, at time.Time) []byte {
	s := &allShapes[t.rng.IntN(len(allShapes))]
	b = append(append(b, `{"type":"track","event":"`...), s.event...)
	b = t.hex(append(b, `","messageId":"`...))
	b = append(append(b, `","userId":"`...), customer...)
	b = t.hex(append(b, `","anonymousId":"`...))
	b = at.UTC().AppendFormat(append(b, `","timestamp":"`...), "2006-01-02T15:04:05.000Z")
	b = append(s.fill(t, append(b, `","properties":{`...)), `},"context":{"page":{"path":"/item/`...)
	b = strconv.AppendInt(b, int64(t.rng.IntN(100_000)), 10)
	return append(b, `"},"locale":"en-GB"}}`...)
}

func (t *traffic) product(b []byte) []byte {
	b = fixed(append(b, `"product_id":"p-`...), t.rng.Uint64N(100_000), 5)
	b = fixed(append(b, `","category":"c-`...), t.rng.Uint64N(50), 2)
	b = append(append(b, `","brand":"`...), [...]string{"Alder", "Birch", "Cedar", "Dogwood"}[t.rng.IntN(4)]...)
	return append(t.money(append(b, `","price":`...)), `,"currency":"EUR"`...)
}

func (t *traffic) order(b []byte) []byte {
	b = t.money(append(t.hex(append(b, `"order_id":"o-`...)), `","total":`...))
	b = fixed(append(b, `,"currency":"EUR","products":[{"product_id":"p-`...), t.rng.Uint64N(100_000), 5)
	return append(b, `","quantity":1}]`...)
}

func (t *traffic) list(b []byte) []byte {
	b = fixed(append(b, `"list_id":"l-`...), t.rng.Uint64N(500), 4)
	return strconv.AppendInt(append(b, `","query":"running shoes","position":`...), int64(t.rng.IntN(60)), 10)
}

func (t *traffic) email(b []byte) []byte {
	return append(t.hex(append(b, `"campaign_id":"spring-mail","email_id":"`...)), '"')
}

// money is 0.00 to 299.99.
func (t *traffic) money(b []byte) []byte {
	b = append(strconv.AppendInt(b, int64(t.rng.IntN(300)), 10), '.')
	return fixed(b, t.rng.Uint64N(100), 2)
}

// hex is 64 random bits as sixteen digits.
func (t *traffic) hex(b []byte) []byte {
	var word [8]byte
	binary.BigEndian.PutUint64(word[:], t.rng.Uint64())
	return hex.AppendEncode(b, word[:])
}

// fixed is v with so many digits.
func fixed(b []byte, v uint64, digits int) []byte {
	var text [20]byte
	s := strconv.AppendUint(text[:0], v, 10)
	for range digits - len(s) {
		b = append(b, '0')
	}
	return append(b, s...)
}
