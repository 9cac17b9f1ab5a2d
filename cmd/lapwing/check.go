// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"lapwing/schemas/definition"
	"lapwing/stream/lifecycle"
)

func (a *app) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check DEFINITION",
		Short: "Validate a definition: all its problems, each with its place",
		Long: `Validates a definition: a file, preset:NAME, or - for standard input.
All problems are printed, each as file:line:column: message and the line with carets
under what is meant. Warnings begin with "warning: " and do not fail the check: what
they are about is in schemas/README.md.`,
		Example: "  lapwing check lifecycle.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			model, warnings, err := a.loadDefinition(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			def := model.Definition()
			if err := definition.Render(a.stderr, args[0], def.Source, warnings); err != nil {
				return err
			}
			return summarise(a.stdout, model)
		},
	}
}

// summarise says in a few lines what a definition holds.
func summarise(w io.Writer, model *lifecycle.Model) error {
	def := model.Definition()
	var b strings.Builder
	fmt.Fprintf(&b, "%s: fine\n", def.File)
	fmt.Fprintf(&b, "  %s, version %d, time zone %s\n", def.Name.Value, def.Version, def.Zone)
	for _, m := range def.Models {
		names := make([]string, len(m.Stages))
		for i, s := range m.Stages {
			names[i] = s.Name.Value
		}
		fmt.Fprintf(&b, "  model %s: %s\n", m.Name.Value, strings.Join(names, ", "))
	}
	if len(def.Segments) > 0 {
		names := make([]string, len(def.Segments))
		for i, s := range def.Segments {
			names[i] = s.Name.Value
			if !s.By.IsZero() {
				names[i] += "=…"
			}
		}
		fmt.Fprintf(&b, "  segments: %s\n", strings.Join(names, ", "))
	}
	if len(def.Campaigns) > 0 {
		names := make([]string, len(def.Campaigns))
		for i := range def.Campaigns {
			names[i] = def.Campaigns[i].Name.Value
		}
		fmt.Fprintf(&b, "  campaigns: %s\n", strings.Join(names, ", "))
	}
	if unread := model.Unread(); len(unread) > 0 {
		fmt.Fprintf(&b, "  counted, and read by no condition: %s\n", strings.Join(unread, ", "))
	}
	fmt.Fprintf(&b, "  counts and sums kept: %s\n", model.Definition().Cardinality())
	fmt.Fprintf(&b, "  a customer takes at most %s\n", humanize.IBytes(uint64(max(0, model.MaxStateBytes()))))
	_, err := io.WriteString(w, b.String())
	return err
}
