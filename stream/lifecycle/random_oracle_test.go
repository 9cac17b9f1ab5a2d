// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"lapwing/schemas/definition"
	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/stream/lifecycle"
	"lapwing/stream/oracle"
)

// sampleCase is one definition, the messages of a few customers and an end.
type sampleCase struct {
	def   *sampleDefinition
	lines []string
	until instant.Instant
}

func newSampleCase(seed uint64) sampleCase {
	s := newSampler(seed / 4) // four sets of messages for each definition
	c := sampleCase{def: s.definition()}
	if seed >= limitedSeeds {
		s.limit(c.def)
	}
	for range 1 + seed%4 {
		c.lines, c.until = s.messages()
	}
	return c
}

// TestRandomAgainstOracle compares the fold with the oracle on random definitions
// and messages, record for record and profile for profile, byte for byte.
func TestRandomAgainstOracle(t *testing.T) {
	t.Parallel()
	runSamples(t, 0, 2400, againstOracle)
}

// againstOracle is what replay gives.
func againstOracle(c *compiledCase, id string) string {
	want := c.judge.Customer(id, c.messages[id], c.until)
	got, err := fold(c.model, id, c.lines[id], c.until)
	if err != nil {
		return err.Error()
	}
	c.told.add(want)
	return difference(want, got)
}

// runSamples runs a comparison over every customer of so many cases, seeds counting
// up from first, and shows the first disagreement as small as it can be made.
//
// LAPWING_ORACLE_SEED=n runs the one case of that seed, LAPWING_ORACLE_CASES=n that many.
func runSamples(t *testing.T, first, cases uint64, compare comparison) {
	t.Helper()
	if testing.Short() {
		cases /= 10
	}
	if n, err := strconv.ParseUint(os.Getenv("LAPWING_ORACLE_CASES"), 10, 64); err == nil {
		cases = n
	}
	if n, err := strconv.ParseUint(os.Getenv("LAPWING_ORACLE_SEED"), 10, 64); err == nil {
		first, cases = n, 1
	}
	var run session
	for seed := first; seed < first+cases; seed++ {
		c := newSampleCase(seed)
		if c.disagreement(&run, compare) == "" {
			continue
		}
		c = c.smaller(compare)
		t.Fatalf("seed %d (LAPWING_ORACLE_SEED=%d go test -run %s ./stream/lifecycle)\n%s\n--- definition\n%s--- events, replay with --until %s\n%s\n",
			seed, seed, t.Name(), c.disagreement(&session{}, compare), c.def.yaml(), c.until, strings.Join(c.lines, "\n"))
	}
	t.Logf("%d cases: %+v", cases, run.told)
	if cases >= 1000 {
		run.told.check(t)
	}
}

// compiledCase is a case as both sides read it.
type compiledCase struct {
	def      *definition.Definition
	model    *lifecycle.Model
	judge    *oracle.Oracle
	until    instant.Instant
	messages map[string][]oracle.Message // by customer
	lines    map[string][][]byte
	told     *tally
}

// comparison is "" if the fold does what it should for one customer.
type comparison func(c *compiledCase, customer string) string

// session keeps what the definition read last became: several cases in a row have it.
type session struct {
	source string
	def    *definition.Definition
	model  *lifecycle.Model
	judge  *oracle.Oracle
	told   tally
}

// read says why the definition cannot be used, or "".
func (s *session) read(source string) string {
	if s.judge != nil && s.source == source {
		return ""
	}
	def, problems := definition.Parse("sample.yaml", []byte(source))
	if def == nil || hasError(problems) {
		return fmt.Sprintf("the definition does not parse: %v", problems)
	}
	model, problems := lifecycle.Compile(def)
	if model == nil || hasError(problems) {
		return fmt.Sprintf("the definition does not compile: %v", problems)
	}
	judge, err := oracle.New(def)
	if err != nil {
		return fmt.Sprintf("the oracle cannot read the definition: %v", err)
	}
	s.source, s.def, s.model, s.judge = source, def, model, judge
	return ""
}

// tally counts what the cases reached, so that a generator that has gone blind shows.
type tally struct {
	Events, Deadlines, Late, Expired, Entered, Left, Backfill, Next, Profiles int
	Assigned, Holdout, Again, Converted, Corrected, Worth                     int
}

func (n *tally) add(result oracle.Result) {
	for _, r := range result.Records {
		n.addRecord(r)
	}
	if result.Profile != nil {
		n.Profiles++
	}
}

func (n *tally) addRecord(r record.Record) {
	for _, c := range []struct {
		counts bool
		in     *int
	}{
		{r.Cause.Type == record.CauseEvent, &n.Events},
		{r.Cause.Type == record.CauseDeadline, &n.Deadlines},
		{r.Cause.Type == record.CauseLateEvent, &n.Late},
		{r.Cause.Type == record.CauseExpired, &n.Expired},
		{r.Kind == record.SegmentChange && r.Entered, &n.Entered},
		{r.Kind == record.SegmentChange && !r.Entered, &n.Left},
		{r.Backfill, &n.Backfill},
		{r.NextStage != "", &n.Next},
		{r.Kind == record.Assignment, &n.Assigned},
		{r.Kind == record.Assignment && r.Holdout, &n.Holdout},
		{r.Kind == record.Assignment && r.Round > 1, &n.Again},
		{r.Kind == record.Conversion, &n.Converted},
		{r.Kind == record.Conversion && r.Sequence > 1, &n.Corrected},
		{r.Kind == record.Conversion && r.HasValue, &n.Worth},
	} {
		if c.counts {
			*c.in++
		}
	}
}

func (n *tally) check(t *testing.T) {
	t.Helper()
	for _, c := range []struct {
		what string
		n    int
		want int
	}{
		{"cause event", n.Events, 30},
		{"cause deadline", n.Deadlines, 30},
		{"cause late_event", n.Late, 30},
		{"cause expired", n.Expired, 30},
		{"segment entered", n.Entered, 30},
		{"segment left", n.Left, 30},
		{"backfill", n.Backfill, 30},
		{"next_stage", n.Next, 30},
		{"profiles", n.Profiles, 30},
		{"assignments", n.Assigned, 30},
		{"assignments to the holdout", n.Holdout, 30},
		{"further rounds", n.Again, 30},
		{"conversions", n.Converted, 30},
		{"conversions after the first", n.Corrected, 3}, // they take a refund, or a further round, at the right time
		{"conversions with a value", n.Worth, 30},
	} {
		if c.n < c.want {
			t.Errorf("the cases reached %q only %d times: the generator has gone blind", c.what, c.n)
		}
	}
}

// disagreement is "" if the comparison finds nothing for any customer.
func (c sampleCase) disagreement(run *session, compare comparison) string {
	if problem := run.read(c.def.yaml()); problem != "" {
		return problem
	}
	both := &compiledCase{
		def: run.def, model: run.model, judge: run.judge, until: c.until, told: &run.told,
		messages: map[string][]oracle.Message{}, lines: map[string][][]byte{},
	}
	var customers []string
	for _, line := range c.lines {
		m, ok := oracle.Decode([]byte(line))
		if !ok {
			return "the oracle cannot use the line " + line
		}
		if !slices.Contains(customers, m.Customer) {
			customers = append(customers, m.Customer)
		}
		both.messages[m.Customer] = append(both.messages[m.Customer], m)
		both.lines[m.Customer] = append(both.lines[m.Customer], []byte(line))
	}
	for _, id := range customers {
		if d := compare(both, id); d != "" {
			return fmt.Sprintf("customer %s: %s", id, d)
		}
	}
	return ""
}

func hasError(problems []definition.Problem) bool {
	return slices.ContainsFunc(problems, func(p definition.Problem) bool { return !p.Warning })
}

// fold drives the real core as replay does; between any two messages the state
// goes through its encoding.
func fold(model *lifecycle.Model, id string, lines [][]byte, until instant.Instant) (got oracle.Result, err error) {
	got, _, err = foldCounting(model, id, lines, until)
	return got, err
}

// foldCounting is fold, and counts what went beyond a limit.
func foldCounting(model *lifecycle.Model, id string, lines [][]byte, until instant.Instant) (got oracle.Result, over lifecycle.Overflow, err error) {
	var (
		state   lifecycle.State
		out     lifecycle.Output
		message event.Message
	)
	decoder := event.NewDecoder(model.Projection(), event.DefaultLimits())
	for i, line := range lines {
		if cause := decoder.Decode(line, instant.None, &message); cause != "" {
			return got, over, fmt.Errorf("decode %s: %s", line, cause)
		}
		if message.Time > until {
			continue
		}
		clock := max(state.Clock(), message.Time)
		verdict := model.Accept(&state, id, &message, clock, &out)
		if verdict != lifecycle.Duplicate && model.Definition().Lateness > 0 {
			model.Advance(&state, id, clock, clock, &out)
		}
		got.Records = append(got.Records, out.Records...)
		over.Add(&out.Overflow)
		out.Reset()
		if i > 100 && i%97 > 0 { // it costs as much as the state is large
			continue
		}
		encoded := model.AppendState(nil, &state)
		if len(encoded) > model.MaxStateBytes() {
			return got, over, fmt.Errorf("the state after %s takes %d bytes, and its bound is %d", line, len(encoded), model.MaxStateBytes())
		}
		state = lifecycle.State{}
		if err := model.DecodeState(encoded, &state); err != nil {
			return got, over, fmt.Errorf("decode the state after %s: %w", line, err)
		}
		if again := model.AppendState(nil, &state); !bytes.Equal(again, encoded) {
			return got, over, fmt.Errorf("the state after %s is encoded as %x, and read and encoded again as %x", line, encoded, again)
		}
	}
	model.Finish(&state, id, until, &out)
	got.Records = append(got.Records, out.Records...)
	over.Add(&out.Overflow)
	if state.Begun() {
		p := model.Profile(&state, id)
		got.Profile = &p
	}
	return got, over, nil
}

// printed is what replay prints; the profile's traits are made canonical.
func printed(r oracle.Result) string {
	var b strings.Builder
	for i := range r.Records {
		b.Write(append(r.Records[i].AppendJSON(nil), '\n'))
	}
	if r.Profile == nil {
		return b.String()
	}
	p := *r.Profile
	traits := map[string]any{}
	if len(p.Traits) > 0 {
		d := json.NewDecoder(bytes.NewReader(p.Traits))
		d.UseNumber()
		if err := d.Decode(&traits); err != nil {
			return "traits are no JSON object: " + string(p.Traits)
		}
	}
	p.Traits, _ = json.Marshal(traits) // decoded JSON always encodes
	b.Write(append(p.AppendJSON(nil), '\n'))
	return b.String()
}

// difference is "" if both say the same, else where they part.
func difference(want, got oracle.Result) string {
	if printed(want) == printed(got) {
		return ""
	}
	w, g := strings.Split(printed(want), "\n"), strings.Split(printed(got), "\n")
	n := 0
	for n < len(w) && n < len(g) && w[n] == g[n] {
		n++
	}
	line := func(s []string) string {
		if n < len(s) && s[n] != "" {
			return s[n]
		}
		return "(nothing more)"
	}
	return fmt.Sprintf("the first %d lines agree, then\noracle: %s\nfold:   %s", n, line(w), line(g))
}
