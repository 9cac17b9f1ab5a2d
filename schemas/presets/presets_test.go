// SPDX-License-Identifier: Apache-2.0

package presets_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"lapwing/schemas/definition"
	"lapwing/schemas/presets"
)

func TestEveryPresetIsAcceptedAndNamedLikeItsFile(t *testing.T) {
	names := presets.Names()
	if !slices.IsSorted(names) || !slices.Contains(names, "customer-value") {
		t.Fatalf("presets: %q", names)
	}
	for _, name := range names {
		source, ok := presets.Get(name)
		if !ok {
			t.Fatalf("%s is listed and not there", name)
		}
		d, problems := definition.Parse("preset:"+name, source)
		if d == nil || len(problems) > 0 {
			if err := definition.Render(os.Stderr, "preset:"+name, source, problems); err != nil {
				t.Error(err)
			}
			t.Fatalf("%s is refused or warned of", name)
		}
		if d.Name.Value != name {
			t.Errorf("%s calls itself %s", name, d.Name.Value)
		}
	}
}

// Records print conditions word by word, so the preset's must be the contract's.
func TestCustomerValueIsTheContractsExample(t *testing.T) {
	example, err := os.ReadFile("../definition/testdata/contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want, _ := definition.ParsePartial("contract.yaml", example)
	source, _ := presets.Get("customer-value")
	got, _ := definition.Parse("preset", source)
	if want == nil || got == nil || len(want.Models) != 1 {
		t.Fatal("not read")
	}
	if len(got.Models) != 1 || len(got.Models[0].Stages) != len(want.Models[0].Stages) || len(got.Segments) != len(want.Segments) || len(got.Events) != len(want.Events) {
		t.Fatal("not the same models, segments and events")
	}
	for i, s := range want.Models[0].Stages {
		if g := got.Models[0].Stages[i]; g.Name.Value != s.Name.Value || g.When.Value != s.When.Value {
			t.Errorf("stage %q when %q, want %q when %q", g.Name.Value, g.When.Value, s.Name.Value, s.When.Value)
		}
	}
	for i, s := range want.Segments {
		if g := got.Segments[i]; g.Name.Value != s.Name.Value || g.When.Value != s.When.Value || g.By.Value != s.By.Value {
			t.Errorf("segment %+v, want %+v", g, s)
		}
	}
	for i, e := range want.Events {
		g := got.Events[i]
		if g.Name.Value != e.Name.Value || !slices.Equal(g.Match, e.Match) || g.Value.Value != e.Value.Value || g.Key.Value != e.Key.Value || g.From.Value != e.From.Value || g.Gap != e.Gap || g.First != e.First {
			t.Errorf("event %+v, want %+v", g, e)
		}
	}
}

func TestFindNamesWhatWasMeant(t *testing.T) {
	if source, err := presets.Find("media"); err != nil || len(source) == 0 {
		t.Errorf("media: %v", err)
	}
	all := strings.Join(presets.Names(), ", ")
	for name, want := range map[string]string{
		"ecommerce": "there is no preset \"ecommerce\"; did you mean `e-commerce`? (there is: " + all + ")",
		"nosuch":    "there is no preset \"nosuch\"; there is: " + all,
		"":          "there is no preset \"\"; there is: " + all,
	} {
		if _, err := presets.Find(name); err == nil || err.Error() != want {
			t.Errorf("Find(%q): %v, want %s", name, err, want)
		}
	}
}

func TestTitle(t *testing.T) {
	if got, want := presets.Title("e-commerce"), "An online shop, by how active its customers are"; got != want {
		t.Errorf("e-commerce: %q, want %q", got, want)
	}
	if got := presets.Title("nosuch"); got != "" {
		t.Errorf("of none: %q", got)
	}
	for _, name := range presets.Names() {
		if n := len(presets.Title(name)); n < 20 || n > 90 {
			t.Errorf("%s: the title has %d bytes, want 20 to 90: %s", name, n, presets.Title(name))
		}
	}
}

func TestScenarios(t *testing.T) {
	for _, name := range presets.Names() {
		scenarios := presets.Scenarios(name)
		if len(scenarios) < 2 {
			t.Errorf("%s has %d scenarios", name, len(scenarios))
		}
		for _, s := range scenarios {
			if !strings.HasSuffix(s.Name, ".txt") || strings.Count(s.Text, "\ndefinition: preset:"+name+"\n") != 1 {
				t.Errorf("%s: scenario %q does not name its definition on a line of its own", name, s.Name)
			}
		}
	}
	for _, name := range []string{"", "nosuch", "..", "e-commerce/..", "*"} {
		if got := presets.Scenarios(name); len(got) > 0 {
			t.Errorf("Scenarios(%q) found %d", name, len(got))
		}
	}
}

func TestGet(t *testing.T) {
	for _, name := range []string{"", "none", "../presets/customer-value", "customer-value.yaml", "a/b"} {
		if _, ok := presets.Get(name); ok {
			t.Errorf("Get(%q) found something", name)
		}
	}
	first, _ := presets.Get("customer-value")
	first[0] = 'X'
	if second, _ := presets.Get("customer-value"); second[0] == 'X' {
		t.Error("a change of what Get returned is seen by the next")
	}
}
