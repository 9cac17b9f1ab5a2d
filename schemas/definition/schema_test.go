// SPDX-License-Identifier: Apache-2.0

package definition_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"lapwing/schemas/definition"
	"lapwing/schemas/presets"
)

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(definition.Schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("definition.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("definition.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asJSON is a YAML file as an editor hands it to a schema.
func asJSON(t *testing.T, source string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(source), &v); err != nil {
		t.Fatalf("read as YAML: %v\n%s", err, source)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jsonschema.UnmarshalJSON(strings.NewReader(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSchemaAcceptsTheContractsExample(t *testing.T) {
	if err := compiled(t).Validate(asJSON(t, string(contract(t)))); err != nil {
		t.Error(err)
	}
}

func TestSchemaAcceptsThePresets(t *testing.T) {
	s := compiled(t)
	for _, name := range presets.Names() {
		source, _ := presets.Get(name)
		if err := s.Validate(asJSON(t, string(source))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What Parse accepts and what the schema can express must agree both ways.
func TestSchemaRefusesWhatParseRefuses(t *testing.T) {
	s := compiled(t)
	refused := 0
	for _, c := range refusals {
		if !c.schema {
			continue
		}
		refused++
		t.Run(c.name, func(t *testing.T) {
			if s.Validate(asJSON(t, whole(c.source))) == nil {
				t.Errorf("the schema accepts\n%s", whole(c.source))
			}
		})
	}
	if refused < 40 {
		t.Errorf("only %d cases reach the schema", refused)
	}
	for _, source := range accepted {
		if err := s.Validate(asJSON(t, source)); err != nil {
			t.Errorf("the schema refuses what Parse accepts: %v\n%s", err, source)
		}
	}
}

// Every key of the schema has a description, which editors show.
func TestSchemaDescribesEveryKey(t *testing.T) {
	var root any
	if err := json.Unmarshal([]byte(definition.Schema), &root); err != nil {
		t.Fatal(err)
	}
	defs := root.(map[string]any)["$defs"].(map[string]any)
	described := func(v any) bool {
		m, _ := v.(map[string]any)
		if m["description"] != nil || m["enum"] != nil {
			return true
		}
		name, _ := m["$ref"].(string)
		target, _ := defs[strings.TrimPrefix(name, "#/$defs/")].(map[string]any)
		return target["description"] != nil
	}
	var walk func(path []string, v any)
	walk = func(path []string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if keys, ok := v["properties"].(map[string]any); ok {
				for key, value := range keys {
					if !described(value) {
						t.Errorf("%s has no description", strings.Join(append(slices.Clone(path), key), "."))
					}
				}
			}
			for key, value := range v {
				walk(append(slices.Clone(path), key), value)
			}
		case []any:
			for _, value := range v {
				walk(path, value)
			}
		}
	}
	walk(nil, root)
	if reflect.ValueOf(defs).Len() == 0 {
		t.Error("no definitions")
	}
}
