// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"lapwing/schemas/decimal"
	"lapwing/schemas/record"
)

// replayed runs a replay and gives its output and what it says on standard error.
func replayed(t *testing.T, in io.Reader, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, problems bytes.Buffer
	args = append([]string{"replay", "-d", "preset:customer-value"}, args...)
	code = run(context.Background(), args, noEnv, in, &out, &problems)
	return code, out.String(), problems.String()
}

// TestReplayOfCDNOWKeepsItsTotals: the sample's totals come out of the aggregates, one
// profile comes out per customer, and each run prints the very same bytes.
func TestReplayOfCDNOWKeepsItsTotals(t *testing.T) {
	code, out, stderr := replayed(t, nil, "--only", "aggregates,profiles", "sample:cdnow")
	if code != 0 || stderr != "" {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var purchases int64
	var revenue decimal.Decimal
	customers := map[string]bool{}
	lines := bufio.NewScanner(strings.NewReader(out))
	for lines.Scan() {
		var kind struct{ Kind record.Kind }
		if err := json.Unmarshal(lines.Bytes(), &kind); err != nil {
			t.Fatal(err)
		}
		if kind.Kind == record.ProfileKind {
			p, err := record.DecodeProfile(lines.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			customers[p.CustomerID] = true
			continue
		}
		a, err := record.DecodeAggregate(lines.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if a.Measure == record.MeasureEvent && a.Grain == record.Month && a.Event == "purchase" && a.Model == "" {
			purchases += a.Count
			revenue += a.Sum
		}
	}
	if purchases != 69_659 || len(customers) != 23_570 || revenue.String() != "2500315.63" {
		t.Errorf("%d purchases by %d customers for %s", purchases, len(customers), revenue)
	}
	if _, again, _ := replayed(t, nil, "--only", "aggregates,profiles", "sample:cdnow"); again != out {
		t.Error("a second run prints something else")
	}
}

// TestReplayStandsHugeLines: a line beyond every limit is a dead letter, whole in the
// file, and costs no memory beyond the part that is kept; the lines around it are used.
func TestReplayStandsHugeLines(t *testing.T) {
	const good = `{"type":"track","event":"Order Completed","userId":"u%d","timestamp":"1997-01-01"}` + "\n"
	const huge = maxLineBytes + 50<<20
	in := io.MultiReader(
		strings.NewReader(fmt.Sprintf(good, 1)),
		io.LimitReader(repeat('x'), huge), strings.NewReader("\r\n"),
		strings.NewReader(`{"type":"track","userId":"`), io.LimitReader(repeat('y'), 50<<20), strings.NewReader("\"}\n"),
		strings.NewReader(fmt.Sprintf(good, 2)),
	)
	file := filepath.Join(t.TempDir(), "dead.jsonl")
	code, out, stderr := replayed(t, in, "--dead-letters", file)
	if code != 0 || stderr != "dead letters: 2 (too_large 2)\n" || strings.Count(out, "\n") != 2 || !strings.Contains(out, `"u2"`) {
		t.Errorf("exit %d\n%s%s", code, out, stderr)
	}
	dead, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dead.Close() }()
	decoder := json.NewDecoder(dead)
	for _, want := range []struct {
		line, size int
	}{{2, huge}, {3, len(`{"type":"track","userId":""}`) + 50<<20}} {
		var letter struct {
			Cause, Source, Payload string
			Line                   int
		}
		if err := decoder.Decode(&letter); err != nil {
			t.Fatal(err)
		}
		if n := base64.StdEncoding.DecodedLen(len(letter.Payload)); letter.Cause != "too_large" || letter.Source != "-" || letter.Line != want.line || n < want.size || n > want.size+2 {
			t.Errorf("%s of %s line %d with %d bytes; want line %d with %d", letter.Cause, letter.Source, letter.Line, n, want.line, want.size)
		}
	}
}

// TestReplayReachesEveryCause: one bad line per cause that a file can have (future_time
// needs a record's own time, which a line has not), each counted once, the rest used.
func TestReplayReachesEveryCause(t *testing.T) {
	const good = `{"type":"track","event":"Order Completed","userId":"u1","timestamp":"1997-01-0%d"}`
	lines := []string{
		fmt.Sprintf(good, 1),
		`{"type":"track","userId":"u1","timestamp":"1997-01-01"`,
		`{"type":"track","userId":"u1","timestamp":"1997-01-01","properties":{"x":"` + strings.Repeat("x", 1<<20) + `"}}`,
		`{"type":"track","userId":"u1","timestamp":"1997-01-01","properties":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`,
		`{"type":"track","userId":"u1","timestamp":"1997-01-01","properties":{"x":"a\u0000b"}}`,
		`{"userId":"u1","timestamp":"1997-01-01"}`,
		`{"type":"track","timestamp":"1997-01-01"}`,
		`{"type":"track","userId":"` + strings.Repeat("u", 257) + `","timestamp":"1997-01-01"}`,
		`{"type":"track","userId":"u1","timestamp":"10000-01-01T00:00:00Z"}`,
		fmt.Sprintf(good, 2),
	}
	code, out, stderr := replayed(t, strings.NewReader(strings.Join(lines, "\n")))
	const want = "dead letters: 8 (invalid_json 1, too_large 1, too_deep 1, invalid_utf8 1, missing_type 1, missing_customer 1, invalid_id 1, invalid_time 1)\n"
	if code != 0 || stderr != want || strings.Count(out, "\n") != 2 || !strings.Contains(out, `"from":"new","to":"active"`) {
		t.Errorf("exit %d, %swant %s%s", code, stderr, want, out)
	}
}

// repeat is one byte without end.
type repeat byte

func (r repeat) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r)
	}
	return len(p), nil
}

// TestReplayMemoryFollowsCustomersNotEvents: ten times the events of the same customers
// take no more memory than the customers' states may hold.
func TestReplayMemoryFollowsCustomersNotEvents(t *testing.T) {
	peak := func(events int) uint64 {
		in := &visits{left: events}
		runtime.GC()
		if code, _, stderr := replayed(t, in, "--only", "assignments"); code != 0 {
			t.Fatal(stderr)
		}
		return in.peak
	}
	small, large := peak(50_000), peak(500_000)
	if large > small+16<<20 {
		t.Errorf("50,000 events of 100 customers take %d MiB, 500,000 take %d MiB", small>>20, large>>20)
	}
}

// visits writes page views of 100 customers as they are read, and watches the heap.
type visits struct {
	left, n int
	peak    uint64
	buffer  []byte
}

func (v *visits) Read(p []byte) (int, error) {
	if len(v.buffer) == 0 {
		if v.left == 0 {
			return 0, io.EOF
		}
		for range min(v.left, 1000) {
			v.buffer = fmt.Appendf(v.buffer, `{"type":"track","event":"Seen","messageId":"m%d","userId":"u%d","timestamp":"2020-01-01T%02d:%02d:%02dZ"}`+"\n",
				v.n, v.n%100, v.n/3600%24, v.n/60%60, v.n%60)
			v.n++
			v.left--
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		v.peak = max(v.peak, m.HeapInuse)
	}
	n := copy(p, v.buffer)
	v.buffer = v.buffer[n:]
	return n, nil
}

// TestInterruptedReplayEndsWith130 and prints no summary.
func TestInterruptedReplayEndsWith130(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errInterrupt)
	var stderr bytes.Buffer
	code := run(ctx, []string{"replay", "-d", "preset:customer-value", "sample:cdnow"}, noEnv, nil, io.Discard, &stderr)
	if code != exitInterrupted || stderr.String() != "lapwing: interrupted\n" {
		t.Errorf("exit %d: %s", code, stderr.String())
	}
}

func TestWordsForNumbers(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 69659: "69,659", -1234567: "-1,234,567", -999: "-999"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}

// The README shows what is printed, to the letter.
func TestReadmeShowsTheExplanation(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	const command = "replay -d preset:customer-value --explain 00004 sample:cdnow"
	_, shown, found := strings.Cut(string(readme), "$ lapwing "+command+"\n")
	shown, _, _ = strings.Cut(shown, "```")
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), strings.Fields(command), noEnv, strings.NewReader(""), &stdout, &stderr); code != exitFine {
		t.Fatalf("exit %d: %s", code, stderr.String())
	}
	if !found || shown != stdout.String() {
		t.Errorf("the README shows\n%s\nprinted is\n%s", shown, stdout.String())
	}
}
