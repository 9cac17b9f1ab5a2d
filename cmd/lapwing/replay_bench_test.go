// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"
)

// BenchmarkReplay is the whole of a replay: read, decode, fold, print. One operation is
// one event; 20 purchases each by 10,000 customers over a year and a half.
func BenchmarkReplay(b *testing.B) {
	const customers, events = 10_000, 200_000
	random := rand.New(rand.NewPCG(1, 1))
	begin := time.Date(1997, 1, 1, 0, 0, 0, 0, time.UTC)
	var input bytes.Buffer
	for i := range events {
		at := begin.Add(time.Duration(i) * 4 * time.Minute)
		fmt.Fprintf(&input, `{"type":"track","event":"Order Completed","messageId":"m%d","userId":"u%d","timestamp":%q,`+
			`"properties":{"order_id":"o%d","total":%d.%02d,"currency":"USD","products":[{"product_id":"cd","quantity":2}]},`+
			`"context":{"library":{"name":"analytics.js","version":"2.1.0"}}}`+"\n",
			i, random.IntN(customers), at.Format(time.RFC3339), i, random.IntN(100), random.IntN(100))
	}
	b.ReportAllocs()
	b.SetBytes(int64(input.Len()))
	for b.Loop() {
		if code := run(context.Background(), []string{"replay", "-d", "preset:customer-value"}, noEnv, bytes.NewReader(input.Bytes()), io.Discard, io.Discard); code != 0 {
			b.Fatalf("exit %d", code)
		}
	}
	b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
