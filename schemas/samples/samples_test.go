// SPDX-License-Identifier: Apache-2.0

package samples_test

import (
	"bufio"
	"encoding/json"
	"slices"
	"testing"
	"testing/iotest"

	"lapwing/schemas/decimal"
	"lapwing/schemas/samples"
)

// The totals are those that the data is known by.
const (
	purchases = 69_659
	customers = 23_570
	revenue   = "2500315.63"
)

func TestCDNOWHasItsTotals(t *testing.T) {
	rows, err := samples.CDNOW()
	if err != nil {
		t.Fatal(err)
	}
	var sum decimal.Decimal
	seen := map[string]bool{}
	ids := map[string]bool{}
	for i := range rows {
		value, ok := decimal.Parse(rows[i].Dollars)
		if !ok {
			t.Fatalf("row %d: %q is no number", rows[i].Row, rows[i].Dollars)
		}
		sum += value
		seen[rows[i].Customer] = true
		ids[rows[i].MessageID()] = true
	}
	if len(rows) != purchases || len(seen) != customers || len(ids) != purchases || sum.String() != revenue {
		t.Errorf("%d purchases (%d ids) by %d customers for %s; want %d, %d, %s",
			len(rows), len(ids), len(seen), sum, purchases, customers, revenue)
	}
	inOrder := slices.IsSortedFunc(rows, func(a, b samples.Purchase) int {
		if a.At != b.At {
			return int((a.At - b.At) / 1000)
		}
		return a.Row - b.Row
	})
	if !inOrder {
		t.Error("purchases are not in the order of time, then of the file")
	}
	if first, last := rows[0].At.String(), rows[len(rows)-1].At.String(); first != "1997-01-01T00:00:00Z" || last != "1998-06-30T00:00:00Z" {
		t.Errorf("from %s to %s; want 1997-01-01 to 1998-06-30", first, last)
	}
}

func TestEventsSayWhatTheFileSays(t *testing.T) {
	rows, err := samples.CDNOW()
	if err != nil {
		t.Fatal(err)
	}
	reader, err := samples.Open("cdnow")
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(reader)
	n := 0
	for ; lines.Scan(); n++ {
		if n%1000 != 0 { // encoding/json is slow: every thousandth in depth
			continue
		}
		var got struct {
			Type, Event, MessageID, UserID, Timestamp string
			Properties                                struct {
				OrderID  string      `json:"order_id"`
				Total    json.Number `json:"total"`
				Currency string
				Products []struct {
					ProductID string `json:"product_id"`
					Quantity  int
				}
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &got); err != nil {
			t.Fatalf("event %d: %v", n, err)
		}
		row := rows[n]
		p := got.Properties
		if got.Type != "track" || got.Event != "Order Completed" || got.MessageID != row.MessageID() ||
			got.UserID != row.Customer || got.Timestamp != row.At.String() ||
			p.OrderID != row.MessageID() || p.Total.String() != row.Dollars || p.Currency != "USD" ||
			len(p.Products) != 1 || p.Products[0].ProductID != "cd" || p.Products[0].Quantity != row.CDs {
			t.Errorf("event %d: %s does not say what row %+v says", n, lines.Bytes(), row)
		}
	}
	if err := lines.Err(); err != nil || n != purchases {
		t.Errorf("%d events, %v; want %d", n, err, purchases)
	}
}

func TestOpenReadsTheSameInAnySteps(t *testing.T) {
	whole, _ := samples.Open("cdnow")
	steps, _ := samples.Open("cdnow")
	a, b := bufio.NewReaderSize(whole, 1<<16), bufio.NewReaderSize(iotest.HalfReader(steps), 16)
	for i := range 1_000_000 {
		x, errX := a.ReadByte()
		y, errY := b.ReadByte()
		if x != y || errX != nil || errY != nil {
			t.Fatalf("byte %d: %q %v against %q %v", i, x, errX, y, errY)
		}
	}
}

func TestOpenNamesWhatThereIs(t *testing.T) {
	_, err := samples.Open("nosuch")
	if err == nil || err.Error() != `there is no sample "nosuch"; there is: cdnow` {
		t.Errorf("got %v", err)
	}
}
