// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"lapwing/stream"
)

// What is only at risk is said and fails with --strict alone; what differs always does.
func TestPrintTopics(t *testing.T) {
	risk := stream.Problem{Setting: "replicas", Is: "1", Want: "3", Why: "it is lost with its broker", Change: "reassign it", AtRisk: true}
	bad := stream.Problem{Setting: "partitions", Is: "4", Want: "5, as many as lanes", Why: "customers would change their lanes", Change: "set lanes"}
	for _, c := range []struct {
		name     string
		problems []stream.Problem
		strict   bool
		err      string
	}{
		{"fine", nil, true, ""},
		{"at risk", []stream.Problem{risk}, false, ""},
		{"at risk, strict", []stream.Problem{risk}, true, "1 is at risk"},
		{"differs", []stream.Problem{bad}, false, "1 thing is missing or differs; nothing of it can be put right by --apply: see above"},
		{"both", []stream.Problem{bad, bad, risk, risk}, false, "2 things are missing or differ, 2 are at risk; nothing of it can be put right by --apply: see above"},
	} {
		t.Run(c.name, func(t *testing.T) {
			audit := &stream.Audit{Topics: []stream.TopicAudit{
				{Name: "lapwing.state", Use: "internal", Partitions: 4, Kept: "compacted", State: stream.TopicOK, Problems: c.problems},
			}}
			for _, format := range []string{"table", "json"} {
				var out bytes.Buffer
				err := (&app{stdout: &out}).printTopics(audit, format, false, c.strict)
				if got := message(err); got != c.err {
					t.Errorf("%s: error %q, want %q", format, got, c.err)
				}
				for _, p := range c.problems {
					if !strings.Contains(out.String(), p.Change) || !strings.Contains(out.String(), p.Why) {
						t.Errorf("%s does not say why and what to do:\n%s", format, out.String())
					}
				}
				if all := strings.Contains(out.String(), "all topics are as they should be"); all != (len(c.problems) == 0 && format == "table") {
					t.Errorf("%s says that all is well: %v", format, all)
				}
				if format == "json" && !json.Valid(out.Bytes()) {
					t.Errorf("this is no JSON: %s", out.String())
				}
			}
		})
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
