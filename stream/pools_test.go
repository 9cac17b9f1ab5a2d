// SPDX-License-Identifier: Apache-2.0

package stream

import "testing"

// The pool keeps what comes back, within its bound, and goes along when other sizes
// are asked for.
func TestFetchPoolIsBounded(t *testing.T) {
	p := &fetchPool{limit: 1 << 20}
	held := func() int { return p.bytes.held }
	for range 100 {
		p.PutDecompressBytes(make([]byte, 0, 100<<10))
		if held() > p.limit {
			t.Fatalf("%d bytes are kept, more than %d", held(), p.limit)
		}
	}
	if held() < p.limit/2 {
		t.Errorf("only %d bytes are kept", held())
	}
	small := p.GetDecompressBytes(make([]byte, 10<<10), 0)
	if cap(small) < 50<<10 || held() > p.limit-cap(small) {
		t.Errorf("50 KB are taken from %d bytes, %d are left", cap(small), held())
	}
	for range 100 {
		p.PutDecompressBytes(make([]byte, 0, 512<<10))
	}
	if b := p.GetDecompressBytes(make([]byte, 100<<10), 0); cap(b) != 512<<10 {
		t.Errorf("after a change of sizes %d bytes are taken anew", cap(b))
	}
	p.PutDecompressBytes(make([]byte, 0, 2<<20)) // more than the bound: left to the collector
	p.PutRecords(p.GetRecords(100))
	if r := p.GetRecords(50); cap(r) < 50 || len(r) != 0 {
		t.Errorf("records: len %d cap %d", len(r), cap(r))
	}
}
