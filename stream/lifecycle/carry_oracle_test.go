// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"lapwing/schemas/definition"
	"lapwing/schemas/event"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/stream/lifecycle"
	"lapwing/stream/oracle"
)

// switchCase is a history under definitions that follow each other.
type switchCase struct {
	sources  []string // definitions, versions 1, 2, …
	lines    []string
	switches []switchAt // to all but the first
	until    instant.Instant
}

// switchAt is where a definition follows the one before: behind so many messages of the
// customer, with the lane's clock so far from the customer's.
type switchAt struct {
	after int
	clock time.Duration
	none  bool // the lane has no clock yet
}

// newSwitchCase draws definitions that have events, models and segments in common.
func newSwitchCase(seed uint64) switchCase {
	s := newSampler(seed)
	first := s.definition()
	var c switchCase
	defs := []*sampleDefinition{first}
	for range 1 + s.IntN(2) {
		last := defs[len(defs)-1]
		switch s.IntN(6) {
		case 0: // the same again
			defs = append(defs, last)
		case 1: // back to the first
			defs = append(defs, first)
		default:
			defs = append(defs, s.successor(last))
		}
	}
	for i, d := range defs {
		c.sources = append(c.sources, strings.Replace(d.yaml(), "version: 3", fmt.Sprint("version: ", i+1), 1))
	}
	c.lines, c.until = s.messages()
	after := 0
	for range defs[1:] {
		after += s.IntN(6)
		c.switches = append(c.switches, switchAt{
			after: after, none: s.chance(10),
			clock: pick(s, 0, 0, time.Millisecond, time.Hour, 24*time.Hour, 49*time.Hour, -time.Hour, -72*time.Hour),
		})
	}
	return c
}

// successor is another definition in which most events mean what they did.
func (s *sampler) successor(last *sampleDefinition) *sampleDefinition {
	t := &sampler{Rand: s.Rand, start: s.start}
	d := t.definition()
	for i := range d.campaigns {
		if i >= len(last.campaigns) {
			break
		}
		for k, goal := range last.campaigns[i].goals {
			if k < len(d.campaigns[i].goals) && alone.MatchString(goal) && s.chance(80) {
				d.campaigns[i].goals[k] = goal
			}
		}
	}
	for i := range d.events {
		for _, was := range last.events {
			if was.name == d.events[i].name && s.chance(80) {
				d.events[i].yaml = was.yaml
			}
		}
	}
	if s.chance(70) {
		d.head[0] = last.head[0] // the time zone: of `at`, too
	}
	return d
}

// alone is a goal that reads nothing which another definition may lack.
var alone = regexp.MustCompile(`^\{name: g\d, within: \w+, (event: (purchase|visit)|when: "(seen|idle|never|first)\('(purchase|visit)'(, '\w+')?\)")(, value: (first|total))?(, baseline: true)?\}$`)

// TestCarryAgainstOracle compares carrying with an oracle that keeps all messages and is
// told where the definition changes and what a state keeps: record for record, profile for
// profile, byte for byte, through the encoding of states.
func TestCarryAgainstOracle(t *testing.T) {
	t.Parallel()
	first, cases := uint64(5_000_000), uint64(1200)
	if testing.Short() {
		cases /= 10
	}
	if n, err := strconv.ParseUint(os.Getenv("LAPWING_ORACLE_CASES"), 10, 64); err == nil {
		cases = n
	}
	if n, err := strconv.ParseUint(os.Getenv("LAPWING_ORACLE_SEED"), 10, 64); err == nil {
		first, cases = n, 1
	}
	var told carryTally
	for seed := first; seed < first+cases; seed++ {
		c := newSwitchCase(seed)
		d := c.disagreement(&told)
		if d == "" {
			continue
		}
		if strings.HasPrefix(d, "customer ") {
			c = c.smaller()
			d = c.disagreement(new(carryTally))
		}
		t.Fatalf("seed %d (LAPWING_ORACLE_SEED=%d go test -run %s ./stream/lifecycle)\n%s\n%s\n--- switches %+v, until %s\n%s\n",
			seed, seed, t.Name(), d, strings.Join(c.sources, "\n---\n"), c.switches, c.until, strings.Join(c.lines, "\n"))
	}
	t.Logf("%d cases: %+v", cases, told)
	if cases >= 1000 {
		told.check(t)
	}
}

// carryTally counts what the cases reached.
type carryTally struct{ Changes, Left, Gone, After, Late, Totals int }

func (n *carryTally) add(r oracle.Result) {
	for _, rec := range r.Records {
		if rec.Kind == record.Conversion && rec.HasValue && rec.DefinitionVersion > 1 {
			n.Totals++
		}
		switch {
		case rec.Cause.Type == record.CauseDefinition && rec.Kind == record.StageChange && rec.To == "":
			n.Gone++
		case rec.Cause.Type == record.CauseDefinition && rec.Kind == record.SegmentChange && !rec.Entered:
			n.Left++
		case rec.Cause.Type == record.CauseDefinition:
			n.Changes++
		case rec.Cause.Type == record.CauseLateEvent && rec.DefinitionVersion > 1:
			n.Late++
		case rec.DefinitionVersion > 1:
			n.After++
		}
	}
}

func (n *carryTally) check(t *testing.T) {
	t.Helper()
	for what, count := range map[string]int{
		"changes by the definition": n.Changes, "segments left by it": n.Left, "models that are gone": n.Gone,
		"changes after it": n.After, "late events after it": n.Late,
		"values of goals after it": n.Totals,
	} {
		if count < 30 {
			t.Errorf("the cases reached %q only %d times: the generator has gone blind", what, count)
		}
	}
}

// disagreement is "" if fold and oracle agree on every customer.
func (c switchCase) disagreement(told *carryTally) string {
	var models []*lifecycle.Model
	var judges []*oracle.Oracle
	for _, source := range c.sources {
		def, problems := definition.Parse("sample.yaml", []byte(source))
		if def == nil || hasError(problems) {
			return fmt.Sprintf("the definition does not parse: %v", problems)
		}
		model, problems := lifecycle.Compile(def)
		if model == nil {
			return fmt.Sprintf("the definition does not compile: %v", problems)
		}
		judge, err := oracle.New(def)
		if err != nil {
			return err.Error()
		}
		models, judges = append(models, model), append(judges, judge)
	}
	var customers []string
	messages, lines := map[string][]oracle.Message{}, map[string][][]byte{}
	for _, line := range c.lines {
		m, ok := oracle.Decode([]byte(line))
		if !ok {
			return "the oracle cannot use the line " + line
		}
		if !slices.Contains(customers, m.Customer) {
			customers = append(customers, m.Customer)
		}
		messages[m.Customer] = append(messages[m.Customer], m)
		lines[m.Customer] = append(lines[m.Customer], []byte(line))
	}
	for _, id := range customers {
		got, clocks, err := c.fold(models, id, lines[id])
		if err != nil {
			return fmt.Sprintf("customer %s: %v", id, err)
		}
		var switches []oracle.Switch
		for i, at := range c.switches {
			switches = append(switches, oracle.Switch{After: at.after, Clock: clocks[i], To: judges[i+1], Held: heldBy(models[i])})
		}
		want := judges[0].CustomerUnder(id, messages[id], switches, c.until)
		told.add(want)
		if d := difference(want, got); d != "" {
			return fmt.Sprintf("customer %s: %s", id, d)
		}
		if d := inOrder(got.Records); d != "" {
			return fmt.Sprintf("customer %s: %s", id, d)
		}
	}
	return ""
}

func heldBy(m *lifecycle.Model) map[string]oracle.Held {
	held := map[string]oracle.Held{}
	for _, k := range m.Kept() {
		held[k.Event] = oracle.Held{Newest: k.Newest, Within: k.Within, Values: k.Values, Money: k.Money, Properties: k.Properties, Texts: k.Texts, Counts: k.Counts}
	}
	return held
}

// inOrder checks what holds whatever the definitions are: per customer and model (segment)
// sequences rise by one from 1 and effective_at never falls, until it ends.
func inOrder(records []record.Record) string {
	sequences, effective := map[string]int64{}, map[string]instant.Instant{}
	for i := range records {
		r := &records[i]
		key := string(r.Kind) + " " + r.Name()
		if r.Cause.Type == record.CauseExpired {
			clear(sequences) // who returns begins anew
			clear(effective)
			continue
		}
		if r.Sequence != sequences[key]+1 && r.Sequence != 1 {
			return fmt.Sprintf("%s has sequence %d after %d", key, r.Sequence, sequences[key])
		}
		if r.EffectiveAt < effective[key] {
			return fmt.Sprintf("%s takes effect at %s, after %s", key, r.EffectiveAt, effective[key])
		}
		sequences[key], effective[key] = r.Sequence, r.EffectiveAt
	}
	return ""
}

// fold drives the core as the stream does; clocks are those of the switches.
func (c switchCase) fold(models []*lifecycle.Model, id string, lines [][]byte) (got oracle.Result, clocks []instant.Instant, err error) {
	state, model := new(lifecycle.State), models[0]
	seen := instant.None // the clock; also of who has ended
	var (
		out     lifecycle.Output
		message event.Message
	)
	take := func() {
		got.Records = append(got.Records, out.Records...)
		out.Reset()
	}
	again := func() error {
		encoded := model.AppendState(nil, state)
		switch version, err := lifecycle.VersionOf(encoded); {
		case err != nil:
			return err
		case version != model.Definition().Version:
			return fmt.Errorf("the state says version %d", version)
		}
		if len(encoded) > model.MaxStateBytes() {
			return fmt.Errorf("the state takes %d bytes, and its bound is %d", len(encoded), model.MaxStateBytes())
		}
		state = new(lifecycle.State)
		if err := model.DecodeState(encoded, state); err != nil {
			return err
		}
		if b := model.AppendState(nil, state); !bytes.Equal(b, encoded) {
			return fmt.Errorf("the state is encoded as %x, and read and encoded again as %x", encoded, b)
		}
		return nil
	}
	switchTo := func(i int) error {
		clock := instant.None
		if at := c.switches[i]; !at.none && state.Clock() != instant.None {
			clock = max(instant.Min, state.Clock().Add(at.clock))
		}
		clocks = append(clocks, clock)
		if err := again(); err != nil {
			return err
		}
		lineage := lifecycle.NewLineage(model).Then(models[i+1], clock)
		version := model.Definition().Version
		model = lineage.Newest()
		state = lineage.Bring(version, state, id, clock, &out)
		if model.Definition().Lateness > 0 && seen != instant.None {
			model.Advance(state, id, seen, seen, &out)
		}
		take()
		return again()
	}
	next := 0
	for i, line := range lines {
		for ; next < len(c.switches) && c.switches[next].after <= i; next++ {
			if err := switchTo(next); err != nil {
				return got, nil, err
			}
		}
		decoder := event.NewDecoder(model.Projection(), event.DefaultLimits())
		if cause := decoder.Decode(line, instant.None, &message); cause != "" {
			return got, nil, fmt.Errorf("decode %s: %s", line, cause)
		}
		if message.Time > c.until {
			continue
		}
		clock := max(seen, message.Time)
		verdict := model.Accept(state, id, &message, clock, &out)
		if verdict != lifecycle.Duplicate {
			seen = clock
			if model.Definition().Lateness > 0 {
				model.Advance(state, id, clock, clock, &out)
			}
		}
		take()
	}
	for ; next < len(c.switches); next++ {
		if err := switchTo(next); err != nil {
			return got, nil, err
		}
	}
	model.Finish(state, id, c.until, &out)
	take()
	if state.Begun() {
		p := model.Profile(state, id)
		got.Profile = &p
	}
	return got, clocks, nil
}

// smaller takes away messages and switches for as long as the disagreement stays.
func (c switchCase) smaller() switchCase {
	for {
		again := false
		for i := range c.lines {
			less := c
			less.lines = without(c.lines, i)
			if strings.HasPrefix(less.disagreement(new(carryTally)), "customer ") {
				c, again = less, true
				break
			}
		}
		if !again {
			return c
		}
	}
}
