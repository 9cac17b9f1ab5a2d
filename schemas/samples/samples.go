// SPDX-License-Identifier: Apache-2.0

// Package samples is real data to try Lapwing on, kept in the binary: today the
// purchase history of CDNOW (where it comes from: ORIGIN.md).
package samples

import (
	"bufio"
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"lapwing/schemas/instant"
)

//go:embed cdnow.txt.zst
var cdnowText []byte

// Purchase is one row of the CDNOW file.
type Purchase struct {
	Row      int    // from 1, the heading not counted
	Customer string // as in the file, with its leading zeros
	At       instant.Instant
	CDs      int
	Dollars  string // as in the file: a decimal with two places
}

// Names lists the samples that Open knows.
func Names() []string { return []string{"cdnow"} }

// Open gives a sample's events as JSON lines in time order; events of one instant
// are in the order of the data.
func Open(name string) (io.Reader, error) {
	if name != "cdnow" {
		return nil, fmt.Errorf("there is no sample %q; there is: %s", name, strings.Join(Names(), ", "))
	}
	purchases, err := CDNOW()
	if err != nil {
		return nil, err
	}
	return &events{purchases: purchases}, nil
}

// CDNOW is every purchase in time order; those of one day are in the order of the file.
func CDNOW() ([]Purchase, error) {
	text, err := zstd.NewReader(bytes.NewReader(cdnowText), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("open the CDNOW sample: %w", err)
	}
	defer text.Close()
	purchases := make([]Purchase, 0, 69_659)
	lines := bufio.NewScanner(text)
	lines.Scan() // the heading
	for lines.Scan() {
		p, err := parsePurchase(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("read the CDNOW sample, row %d: %w", len(purchases)+1, err)
		}
		p.Row = len(purchases) + 1
		purchases = append(purchases, p)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the CDNOW sample: %w", err)
	}
	slices.SortStableFunc(purchases, func(a, b Purchase) int { return int((a.At - b.At) / 1000) })
	return purchases, nil
}

func parsePurchase(line string) (Purchase, error) {
	fields := strings.Fields(line)
	if len(fields) != 4 {
		return Purchase{}, fmt.Errorf("%d columns instead of 4", len(fields))
	}
	day, err := time.Parse("20060102", fields[1])
	if err != nil {
		return Purchase{}, err
	}
	cds, err := strconv.Atoi(fields[2])
	if err != nil {
		return Purchase{}, err
	}
	return Purchase{Customer: fields[0], At: instant.Of(day), CDs: cds, Dollars: fields[3]}, nil
}

// MessageID is the id of the purchase's message, and of its order.
func (p *Purchase) MessageID() string { return "cdnow-" + strconv.Itoa(p.Row) }

// AppendEvent appends the purchase as one Segment-spec message, without a newline.
func (p *Purchase) AppendEvent(dst []byte) []byte {
	dst = append(dst, `{"type":"track","event":"Order Completed","messageId":"cdnow-`...)
	dst = strconv.AppendInt(dst, int64(p.Row), 10)
	dst = append(dst, `","userId":"`...)
	dst = append(dst, p.Customer...)
	dst = append(dst, `","timestamp":"`...)
	dst = p.At.AppendRFC3339(dst)
	dst = append(dst, `","properties":{"order_id":"cdnow-`...)
	dst = strconv.AppendInt(dst, int64(p.Row), 10)
	dst = append(dst, `","total":`...)
	dst = append(dst, p.Dollars...)
	dst = append(dst, `,"currency":"USD","products":[{"product_id":"cd","quantity":`...)
	dst = strconv.AppendInt(dst, int64(p.CDs), 10)
	return append(dst, `}]}}`...)
}

// events writes purchases as lines, as they are asked for.
type events struct {
	purchases []Purchase
	line      []byte // what of the current line has not been read
	scratch   []byte
}

func (e *events) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(e.line) == 0 {
			if len(e.purchases) == 0 {
				if n == 0 && len(p) > 0 {
					return 0, io.EOF
				}
				return n, nil
			}
			e.scratch = append(e.purchases[0].AppendEvent(e.scratch[:0]), '\n')
			e.line = e.scratch
			e.purchases = e.purchases[1:]
		}
		c := copy(p[n:], e.line)
		n += c
		e.line = e.line[c:]
	}
	return n, nil
}
