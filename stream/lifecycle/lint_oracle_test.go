// SPDX-License-Identifier: Apache-2.0

package lifecycle_test

import (
	"fmt"
	"strings"
	"testing"

	"lapwing/schemas/definition"
	"lapwing/schemas/record"
	"lapwing/stream/lifecycle"
	"lapwing/stream/oracle"
)

// lintable is a definition whose stages often hide one another: their conditions are
// about two events, in few windows, with low bounds.
func (s *sampler) lintable() *sampleDefinition {
	d := &sampleDefinition{head: []string{"timezone: UTC", "retain: {anonymous: " + pick(s, "2d", "30d") + "}"}}
	if s.chance(20) {
		d.head = append(d.head, "lateness: "+pick(s, "1h", "6h"))
	}
	coarse := func() string { return pick(s, "", "", ", resolution: 1h") }
	d.events = []sampleEvent{
		{"purchase", "{match: Order Completed, value: properties.total" + pick(s, "", ", key: properties.order_id") + coarse() + "}"},
		{"visit", "{match: [{type: page}, {type: screen}]" + coarse() + "}"},
		{"session", "{from: visit, gap: 1h" + pick(s, "", ", first: false") + "}"},
	}
	for i := range 1 + s.IntN(2) {
		m := sampleItem{name: fmt.Sprintf("m%d", i)}
		for range 2 + s.IntN(4) {
			m.stages = append(m.stages, s.hiding(1))
		}
		m.stages = append(m.stages, "true")
		d.models = append(d.models, m)
		s.models = append(s.models, m)
	}
	for i := range s.IntN(3) {
		d.segments = append(d.segments, sampleItem{name: fmt.Sprintf("g%d", i), when: "(" + s.hiding(1) + ") && (" + s.hiding(1) + ")"})
	}
	return d
}

func (s *sampler) hiding(depth int) string {
	if depth > 0 && s.chance(45) {
		switch s.IntN(4) {
		case 0:
			return "!(" + s.hiding(0) + ")"
		case 1:
			return "(" + s.hiding(0) + ") || (" + s.hiding(0) + ")"
		case 2:
			return "(" + s.hiding(0) + ") ? (" + s.hiding(0) + ") : (" + s.hiding(0) + ")"
		default:
			return "(" + s.hiding(0) + ") && (" + s.hiding(0) + ")"
		}
	}
	e, w := "'"+pick(s, "purchase", "purchase", "visit", "session")+"'", "'"+pick(s, "1h", "90m", "6h", "1d", "2d")+"'"
	compare := pick(s, " >= ", " > ", " < ", " <= ", " == ", " != ") + pick(s, "0", "1", "1", "2", "1.5", "3")
	switch s.IntN(12) {
	case 0:
		return "never(" + e + ")"
	case 1, 2:
		return "idle(" + e + ", " + w + ")"
	case 3, 4:
		return "seen(" + e + ", " + w + ")"
	case 5:
		return "first(" + e + ", " + w + ")"
	case 6:
		return "count(" + e + ")" + compare
	case 7:
		return pick(s, "days("+e+", "+w+")", "count_from('visit', "+e+", "+w+")", "sum('purchase', "+w+")", "avg('purchase', "+w+")") + compare
	case 8:
		return pick(s, "trait('tier') == 'gold'", "trait('tier') != 'gold'", "trait('tier') in ['gold', 5]", "trait('score') >= 1", "trait('score') > 2",
			"trait('score') == 1", "known('tier')", "known('score')", "trait('vip')", "anonymous()",
			"due('renewal', '0d')", "due('renewal', '-1d')", "due('renewal', '1d')", "after('purchase', 'visit')", "after('visit', 'purchase')")
	case 9:
		if len(s.models) > 0 {
			m := pick(s, s.models...)
			stage := fmt.Sprintf("s%d", s.IntN(len(m.stages)))
			return pick(s, "in_stage('"+m.name+"', '"+stage+"')", "stage_for('"+m.name+"', '"+stage+"', "+w+")")
		}
		fallthrough
	default:
		return "count(" + e + ", " + w + ")" + compare
	}
}

// claimed are the stages ("model/stage") and segments that the lints say nobody is ever in.
func claimed(def *definition.Definition, problems []definition.Problem) map[string]bool {
	out := map[string]bool{}
	for _, p := range problems {
		for _, m := range def.Models {
			for _, s := range m.Stages {
				if s.When.Pos == p.Pos && strings.Contains(p.Message, "can never be reached") {
					out[m.Name.Value+"/"+s.Name.Value] = true
				}
			}
		}
		for _, s := range def.Segments {
			if s.When.Pos == p.Pos && strings.Contains(p.Message, "nobody can ever be in") {
				out[s.Name.Value] = true
			}
		}
	}
	return out
}

// TestUnreachableStagesAreNeverReached plays random histories by the oracle, which knows
// nothing of lints: nobody is ever in a stage or segment that is said to be empty.
func TestUnreachableStagesAreNeverReached(t *testing.T) {
	t.Parallel()
	definitions, histories := 600, 6
	if testing.Short() {
		definitions = 100
	}
	empty, reached := 0, map[string]bool{}
	for seed := range definitions {
		s := newSampler(uint64(1_000_000 + seed))
		d := s.lintable()
		source := d.yaml()
		def, problems := definition.Parse("sample.yaml", []byte(source))
		if def == nil {
			t.Fatalf("the definition does not parse: %v\n%s", problems, source)
		}
		model, problems := lifecycle.Check(def, problems)
		if model == nil {
			t.Fatalf("the definition does not compile: %v\n%s", problems, source)
		}
		claims := claimed(def, problems)
		empty += len(claims)
		if len(claims) == 0 {
			continue
		}
		judge, err := oracle.New(def)
		if err != nil {
			t.Fatal(err)
		}
		s.events, s.amounts = []string{"purchase", "visit", "session"}, []string{"purchase"}
		for range histories {
			lines, until := s.messages()
			byCustomer := map[string][]oracle.Message{}
			for _, line := range lines {
				m, ok := oracle.Decode([]byte(line))
				if !ok {
					t.Fatalf("the oracle cannot use %s", line)
				}
				byCustomer[m.Customer] = append(byCustomer[m.Customer], m)
			}
			for id, messages := range byCustomer {
				for _, r := range judge.Customer(id, messages, until).Records {
					place := r.Name() + "/" + r.To
					if r.Kind == record.SegmentChange {
						place = r.Name()
					}
					reached[fmt.Sprintf("%d %s", seed, place)] = true
					if claims[place] && (r.Entered || r.To != "") {
						t.Fatalf("seed %d: %s is said to be empty, and customer %s entered it at %s\n%v\n%s", seed, place, id, r.EffectiveAt, problems, source)
					}
				}
			}
		}
	}
	t.Logf("%d stages and segments said to be empty; %d others reached", empty, len(reached))
	if empty < definitions/4 || len(reached) < definitions/4 {
		t.Errorf("%d stages and segments said to be empty, %d others reached: the generator has gone blind", empty, len(reached))
	}
}
