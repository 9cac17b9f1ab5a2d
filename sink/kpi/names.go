// SPDX-License-Identifier: Apache-2.0

package kpi

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	schema "lapwing/schemas/clickhouse"
	"lapwing/schemas/definition"
)

// UnknownNameError says that a KPI asks for something that the live definition does not
// have, so that it would answer zero, or nothing, whatever customers do.
type UnknownNameError struct {
	KPI, Param, Kind, Name, Definition string
	Derived                            bool     // it is there, but as an event derived from others: no message is one
	Known                              []string // what may be named
}

func (e *UnknownNameError) Error() string {
	what := fmt.Sprintf("the live definition %s has no %s %q", e.Definition, e.Kind, e.Name)
	if e.Derived {
		what = fmt.Sprintf("the live definition %s derives the event %q from others, so no message is one", e.Definition, e.Name)
	}
	if len(e.Known) == 0 {
		return fmt.Sprintf("KPI %s: %s, and none at all", e.KPI, what)
	}
	flag := "--param " + e.Param + "=NAME"
	if e.Param == "model" {
		flag = "--model NAME"
	}
	return fmt.Sprintf("KPI %s: %s; say which one you mean with %s, one of %s", e.KPI, what, flag, strings.Join(e.Known, ", "))
}

// MissingKeyError says that a KPI is about a key of the definition that none of the campaigns
// it is asked of has, so that it has no rows, whatever customers do.
type MissingKeyError struct {
	KPI, Definition, Key string
	Of                   string // what could have the key
}

func (e *MissingKeyError) Error() string {
	return fmt.Sprintf("KPI %s: of what is asked for, no %s of the live definition %s has the key %s, so there is nothing to show", e.KPI, e.Of, e.Definition, e.Key)
}

// knownNames refuses a KPI of what the live definition does not have: events, stages,
// segments, campaigns, goals, models, and keys of campaigns and goals.
func (k *KPI) knownNames(ctx context.Context, conn driver.Conn, database string, o Options) error {
	def, err := liveDefinition(ctx, conn, database)
	if err != nil || def == nil {
		return err
	}
	check := func(param, kind, name string, known, derived []string) error {
		if name == "" || slices.Contains(known, name) {
			return nil
		}
		if by, _, one := strings.Cut(name, "="); kind == "segment" && one && slices.Contains(known, by+anyValue) {
			return nil
		}
		slices.Sort(known)
		return &UnknownNameError{KPI: k.Name, Param: param, Kind: kind, Name: name, Definition: def.Name.Value, Derived: slices.Contains(derived, name), Known: slices.Compact(known)}
	}
	names := namesOf(def, value(k.Params, o.Params, "campaign"))
	kind := "model"
	if k.Name == "segments" { // its option of that name is a segment
		kind = "segment"
	}
	if err := check("model", kind, o.Model, names[kind], nil); err != nil {
		return err
	}
	for _, p := range k.Params {
		kind := p.Name
		if p.Event {
			kind = "event"
		}
		known, checked := names[kind]
		if !checked {
			continue
		}
		for name := range strings.SplitSeq(value(k.Params, o.Params, p.Name), ",") {
			if err := check(p.Name, kind, name, known, names["derived"]); err != nil {
				return err
			}
		}
	}
	return k.neededKey(def, o)
}

// neededKey refuses a KPI if nothing that it is asked of has the key that it is about.
func (k *KPI) neededKey(def *definition.Definition, o Options) error {
	if k.Needs == "" {
		return nil
	}
	campaign, goal := value(k.Params, o.Params, "campaign"), value(k.Params, o.Params, "goal")
	of := "campaign"
	if k.Needs == keyBaseline {
		of = "goal"
	}
	for i := range def.Campaigns {
		c := &def.Campaigns[i]
		if campaign != "" && campaign != c.Name.Value {
			continue
		}
		if k.Needs == keyJourney && !c.Journey.IsZero() {
			return nil
		}
		for g := range c.Goals {
			if k.Needs == keyBaseline && c.Goals[g].Baseline && (goal == "" || goal == c.Goals[g].Name.Value) {
				return nil
			}
		}
	}
	return &MissingKeyError{KPI: k.Name, Definition: def.Name.Value, Key: k.Needs, Of: of}
}

// value is what a parameter stands for; empty without such a parameter.
func value(params []Param, given map[string]string, name string) string {
	for _, p := range params {
		if p.Name == name {
			if v, ok := given[name]; ok {
				return v
			}
			return p.Default
		}
	}
	return ""
}

// anyValue stands for the values of a segment with by.
const anyValue = "=VALUE"

// namesOf are the names in a definition, by what they name; goals are those of the
// campaign, or of all.
func namesOf(def *definition.Definition, campaign string) map[string][]string {
	names := map[string][]string{"event": nil, "stage": nil, "model": nil, "campaign": nil, "goal": nil, "segment": nil}
	for i := range def.Events {
		kind := "event"
		if !def.Events[i].From.IsZero() {
			kind = "derived"
		}
		names[kind] = append(names[kind], def.Events[i].Name.Value)
	}
	for i := range def.Segments {
		name := def.Segments[i].Name.Value
		if !def.Segments[i].By.IsZero() {
			name += anyValue
		}
		names["segment"] = append(names["segment"], name)
	}
	for i := range def.Models {
		names["model"] = append(names["model"], def.Models[i].Name.Value)
		for _, s := range def.Models[i].Stages {
			names["stage"] = append(names["stage"], s.Name.Value)
		}
	}
	for i := range def.Campaigns {
		c := &def.Campaigns[i]
		names["campaign"] = append(names["campaign"], c.Name.Value)
		for g := range c.Goals {
			if campaign == "" || campaign == c.Name.Value {
				names["goal"] = append(names["goal"], c.Goals[g].Name.Value)
			}
		}
	}
	return names
}

// liveDefinition is the definition that the views are about; nil if none is live yet, or a
// later Lapwing wrote it in words that this one does not know.
func liveDefinition(ctx context.Context, conn driver.Conn, database string) (*definition.Definition, error) {
	rows, err := conn.Query(ctx, schema.For(database, `SELECT source FROM {{db}}.definitions WHERE (name, version) = (SELECT name, version FROM {{db}}.live_definition)`))
	if err != nil {
		return nil, fmt.Errorf("ask for the live definition: %w", err)
	}
	defer func() { _ = rows.Close() }() // the error that counts is rows.Err
	var source string
	for rows.Next() {
		if err := rows.Scan(&source); err != nil {
			return nil, fmt.Errorf("ask for the live definition: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("ask for the live definition: %w", err)
	}
	def, _ := definition.Parse("live", []byte(source))
	return def, nil
}
