// SPDX-License-Identifier: Apache-2.0

package chfront

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
)

// sample is one block with a column of each layout. Written by the driver's own
// codec, it is the oracle: what it writes for revision 0, rewritten, must be what
// it writes for a later one.
func sample(t testing.TB, rows int) *proto.Block {
	t.Helper()
	types := []string{
		"UInt8", "Int64", "Float64", "UUID", "Int256", "DateTime64(3, 'UTC')", "Enum8('a, (' = 1, 'b' = 2)", "String", "FixedString(3)", "Decimal(18, 4)", "Decimal(9, 2)",
		"Nullable(String)", "Array(Array(Nullable(UInt8)))", "Map(String, Array(UInt8))", "Tuple(a UInt8, b String)", "Tuple(UInt8, String)",
		"LowCardinality(String)", "LowCardinality(Nullable(String))", "Array(LowCardinality(String))", "SimpleAggregateFunction(sum, UInt64)", "Bool", "IPv4",
	}
	b := proto.NewBlock()
	b.ServerContext = serverContext(0)
	for _, typ := range types {
		if err := b.AddColumn("c "+typ, columnType(typ)); err != nil {
			t.Fatalf("%s: %v", typ, err)
		}
	}
	some := "some"
	for i := range rows {
		long := strings.Repeat("x", i%50*40)
		var maybe *string
		if i%2 == 0 {
			maybe = &some
		}
		u8 := uint8(i)
		err := b.Append(
			u8, int64(-i), float64(i)/3, "00112233-4455-6677-8899-aabbccddeeff", bigInt(i), time.UnixMilli(int64(i)), []string{"a, (", "b"}[i%2], long, "abc", dec(i), dec(i),
			maybe, [][]*uint8{{&u8, nil}, {}}[:i%3], map[string][]uint8{long: {1, 2}}, map[string]any{"a": u8, "b": long}, []any{u8, long},
			[]string{"x", "y", "z"}[i%3], maybe, []string{"p", "q"}[:i%3], uint64(i), i%2 == 0, "10.0.0.1",
		)
		if err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func encoded(t testing.TB, b *proto.Block, revision uint64) []byte {
	t.Helper()
	var buf chproto.Buffer
	if err := b.Encode(&buf, revision); err != nil {
		t.Fatal(err)
	}
	return buf.Buf
}

func TestRewrittenBlocksAreWhatTheDriverWouldWrite(t *testing.T) {
	for _, rows := range []int{1, 2, 7, 500} {
		for _, revision := range []uint64{0, 54453, revisionCustomSerialization, 54460} {
			first, second := sample(t, rows), sample(t, rows)
			var plain, want []byte
			for range 2 {
				plain = append(plain, encoded(t, first, 0)...)
				want = append(want, encoded(t, second, revision)...)
			}
			if revision == 54453 { // the engine never gives two blocks at once where they need not be parted
				plain, want = plain[:len(plain)/2], want[:len(want)/2]
			}
			got, err := rewriteBlocks([]byte{}, plain, revision)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d rows, revision %d: %d bytes, want %d, %v", rows, revision, len(got), len(want), err)
			}
		}
	}
}

func TestCutBlocksAreRefused(t *testing.T) {
	whole := encoded(t, sample(t, 2), 0)
	for n := 1; n < len(whole); n++ {
		if _, err := rewriteBlocks(nil, whole[:n], 54460); !errors.Is(err, errShortBlock) {
			t.Fatalf("the first %d of %d bytes: %v", n, len(whole), err)
		}
	}
}

func TestSplitType(t *testing.T) {
	name, args, err := splitType("Tuple(a Decimal(9, 2), `b, )` Enum8('x,(' = 1), c Map(String, UInt8))")
	if err != nil || name != "Tuple" || strings.Join(args, "|") != "a Decimal(9, 2)|`b, )` Enum8('x,(' = 1)|c Map(String, UInt8)" {
		t.Errorf("%s %q %v", name, args, err)
	}
	for element, want := range map[string]string{"a UInt8": "UInt8", "UInt8": "UInt8", "Decimal(9, 2)": "Decimal(9, 2)", "`b \\` c` Array(String)": "Array(String)", "a Map(String, UInt8)": "Map(String, UInt8)"} {
		if got := elementType("Tuple", element); got != want {
			t.Errorf("%s: %q", element, got)
		}
	}
	for _, bad := range []string{"Array(", "Array", "Map(String)", "Tuple(a", "LowCardinality"} {
		if _, _, err := splitType(bad); !errors.Is(err, errBadType) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// FuzzSkipColumn holds for any bytes: a column is stepped over within its block,
// or refused.
func FuzzSkipColumn(f *testing.F) {
	f.Add("LowCardinality(Nullable(String))", []byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 'x', 1, 0, 0, 0, 0, 0, 0, 0, 0}, uint64(1))
	f.Add("Map(String, Array(UInt8))", bytes.Repeat([]byte{1, 0, 0, 0, 0, 0, 0, 0}, 8), uint64(1))
	f.Add("Tuple(a Decimal(76, 2), b FixedString(65535))", []byte{1}, uint64(1)<<63)
	f.Add("Array(Nothing)", []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, uint64(1))
	f.Fuzz(func(t *testing.T, typ string, b []byte, rows uint64) {
		if len(typ) > 1000 {
			t.Skip("deeper than the engine's parser allows")
		}
		c := &columnCursor{b: b}
		err := c.column(typ, rows)
		if c.pos < 0 || c.pos > len(b) {
			t.Errorf("%s, %d rows of %x: at %d, %v", typ, rows, b, c.pos, err)
		}
	})
}
