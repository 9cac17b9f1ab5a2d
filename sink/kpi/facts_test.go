// SPDX-License-Identifier: Apache-2.0

package kpi_test

import (
	"context"
	"maps"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"lapwing/deploy/embedded/embeddedtest"
	"lapwing/schemas/instant"
	"lapwing/schemas/record"
	"lapwing/sink/batch"
	"lapwing/sink/sinktest"
)

// definitionRecord is what the stream writes into the definitions topic; a test there compares it.
const definitionRecord = "../../schemas/topics/testdata/definition.json"

// TestCampaignsOfTheLiveDefinition: the views show what the definition's record says,
// with null for what was left out, and one row for each arm and goal.
func TestCampaignsOfTheLiveDefinition(t *testing.T) {
	d := sinktest.NewDatabase(t, embeddedtest.ClickHouseForTest(t).Options(), "campaign_views")
	ctx := context.Background()
	value, err := os.ReadFile(definitionRecord)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Insert(ctx, []batch.Record{{Topic: "lapwing.definitions", Name: "definitions", Generation: 1, Key: []byte("shop"), Value: value}}); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"SELECT * FROM campaign_views.campaigns ORDER BY position": `('winback',1,'in_stage(\'value\', \'at_risk\')','pepper',0.1,['short','long'],['bought','moved'],2592000000,'1997-02-01 00:00:00.000',NULL,['spring'],'email',3,'back','one','delivered',0.002,500,'EUR',0.4)
('spring',2,NULL,'spring',0,[],['bought'],0,NULL,NULL,[],NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL)
`,
		"SELECT * FROM campaign_views.campaign_variants ORDER BY campaign, position": `('winback',NULL,true,0,0.1,{},NULL,NULL,NULL,NULL)
('winback','short',false,1,0.45,{'length':'short','tone':'kind'},NULL,NULL,NULL,NULL)
('winback','long',false,2,0.45,{},'opened',0.01,20,'USD')
`,
		"SELECT * FROM campaign_views.campaign_goals ORDER BY campaign, position": `('spring','bought',1,'purchase',NULL,86400000,'none',false)
('winback','bought',1,'purchase',NULL,1209600000,'total',true)
('winback','moved',2,NULL,'in_stage(\'value\', \'new\')',1000,'none',false)
`,
		"SELECT global_holdout FROM campaign_views.live_definition": "(0.05)\n",
	} {
		got, err := d.Text(ctx, query)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s:\n%swant\n%s", query, got, want)
		}
	}
}

// TestFactsAgainstTheHistory: activity, exposures, sessions, assignments and conversions
// are those of the history, whatever the order of the inserts, how they are cut, and how often they come.
func TestFactsAgainstTheHistory(t *testing.T) {
	h := sinktest.New(9, time.UTC, sinktest.Size{Customers: 20, Changes: 4, Orders: 12})
	d := sinktest.NewDatabase(t, embeddedtest.ClickHouseForTest(t).Options(), "facts")
	arrive(t, d, h.Records(1), rand.New(rand.NewPCG(9, 1)))
	type key struct {
		customer string
		start    instant.Instant
	}
	type session struct {
		first, last     instant.Instant
		messages, pages int
		stages          []record.StageAt
	}
	var activity, exposures, sessions lines
	open := map[key]*session{}
	for i := range h.Activity {
		a := &h.Activity[i]
		activity.add(a.CustomerID, stamp(a.EventTime), null(a.MessageID), len(a.Occurrence), len(a.Exposures), stageOf(a.Stages, "value"), stageOf(a.SessionStages, "engagement"), len(a.SessionStages), stamp(a.SessionStart), a.Platform)
		for k, e := range a.Exposures {
			exposures.add(a.CustomerID, stamp(a.EventTime), e.Campaign, e.Channel, e.Step, e.Machine, null(a.MessageID), a.Event, k)
		}
		if sinktest.Received(a) {
			continue
		}
		s := open[key{a.CustomerID, a.SessionStart}]
		if s == nil {
			s = &session{first: a.EventTime, last: a.EventTime, stages: a.SessionStages}
			open[key{a.CustomerID, a.SessionStart}] = s
		}
		s.first, s.last = min(s.first, a.EventTime), max(s.last, a.EventTime)
		s.messages++
		if a.Type == "page" || a.Type == "screen" {
			s.pages++
		}
	}
	for k := range maps.Keys(open) {
		s := open[k]
		sessions.add(k.customer, stamp(k.start), stamp(s.first), stamp(s.last), s.messages, s.pages, stageOf(s.stages, "value"))
	}
	var assignments, conversions lines
	for i := range h.Campaigns {
		c := &h.Campaigns[i]
		var value any
		if c.HasValue {
			value = c.Value.String()
		}
		if c.Kind == record.Assignment {
			assignments.add(c.ID.String(), c.CustomerID, c.Campaign, null(c.Variant), c.Holdout, c.Round, c.Sequence, stamp(c.EffectiveAt), c.Backfill, stageOf(c.Stages, "value"), len(c.Segments), string(c.Cause.Type), len(c.Cause.Condition))
		} else {
			conversions.add(c.ID.String(), c.CustomerID, c.Campaign, c.Goal, null(c.Variant), c.Holdout, c.Round, c.Sequence, stamp(c.AssignedAt), stamp(c.EffectiveAt), value, null(c.Currency), stageOf(c.Stages, "value"))
		}
	}
	for _, c := range []struct {
		query string
		want  lines
	}{
		{"SELECT customer_id, event_time, message_id, length(occurrences), length(exposures), stages['value'], session_stages['engagement'], length(session_stages), session_start, platform FROM facts.activity", activity},
		{"SELECT customer_id, exposed_at, campaign, channel, step, machine, message_id, event, _occurrence FROM facts.exposures", exposures},
		{"SELECT customer_id, session_start, started_at, ended_at, messages, pages, stages['value'] FROM facts.sessions", sessions},
		{"SELECT id, customer_id, campaign, variant, holdout, round, sequence, effective_at, backfill, stages['value'], length(segments), cause_type, length(cause_condition) FROM facts.assignments", assignments},
		{"SELECT id, customer_id, campaign, goal, variant, holdout, round, sequence, assigned_at, effective_at, toString(value), currency, stages['value'] FROM facts.conversions", conversions},
		{"SELECT activity, since FROM facts.activity_mode", lines{"('all','1970-01-01 00:00:00.000')"}},
	} {
		got, err := d.Text(context.Background(), c.query)
		if err != nil {
			t.Fatal(err)
		}
		have := lines(strings.Split(strings.TrimSuffix(got, "\n"), "\n"))
		if len(c.want) == 0 {
			t.Fatalf("%s: nothing to compare with", c.query)
		}
		if have.text() != c.want.text() {
			t.Errorf("%s:\n%s\nwant\n%s", c.query, have.text(), c.want.text())
		}
	}
}

// stageOf is the stage held in a model; empty if none.
func stageOf(stages []record.StageAt, model string) string {
	for _, s := range stages {
		if s.Model == model {
			return s.Stage
		}
	}
	return ""
}
