// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/spf13/cobra"

	"lapwing/schemas/definition"
	"lapwing/sink/kpi"
)

func (a *app) kpiCommand() *cobra.Command {
	var where clickHouseFlags
	var format, grain, model string
	var params map[string]string
	var fresh bool
	c := &cobra.Command{
		Use:   "kpi [list | describe NAME | keep | NAME]",
		Short: "The KPI catalogue over ClickHouse",
		Long: `kpi shows a KPI, or lists those there are. Each is a view in ClickHouse that any
client may query; kpi list names it. Its columns say in their comments what is
counted and what is divided by what.

Now is the greatest instant in the data (kpi clock). A period with a * still runs.

Over millions of customers some take seconds. The service computes all of them now and
then and keeps the rows of the slow ones (setting sink.kpi); kpi reads those, for a day,
and says as of when they are. kpi keep does so at once; --fresh computes one anyway.`,
		Example: `  lapwing kpi list
  lapwing kpi population --by week
  lapwing kpi describe churn
  lapwing kpi churn --format csv > churn.csv
  lapwing kpi bought-together --param basket=customer`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			switch format {
			case string(kpi.FormatTable), string(kpi.FormatJSON), string(kpi.FormatCSV):
			default:
				return usageError("--format %q: want table, json or csv", format)
			}
			switch grain {
			case "", "day", "week", "month":
			default:
				return usageError("--by %q: want day, week or month", grain)
			}
			if len(args) == 0 || args[0] == "list" {
				if len(args) > 1 {
					return usageError("`lapwing kpi list` lists all KPIs; want `lapwing kpi %[1]s`, or `lapwing kpi describe %[1]s`", args[1])
				}
				return a.listKPIs(kpi.Format(format))
			}
			if args[0] == "keep" && len(args) == 1 {
				return a.keepKPIs(c.Context(), &where)
			}
			describe := args[0] == "describe"
			if describe != (len(args) == 2) {
				return usageError("want `lapwing kpi NAME`, or `lapwing kpi describe NAME`")
			}
			k, ok := kpi.Find(args[len(args)-1])
			if !ok {
				return usageError("there is no KPI %q; `lapwing kpi list` lists them%s", args[len(args)-1], likelyKPI(args[len(args)-1]))
			}
			if describe {
				if format != string(kpi.FormatTable) {
					return usageError("`lapwing kpi describe` is text; `lapwing kpi list --format %s` tells programs what each KPI means", format)
				}
				return a.describeKPI(k, where.database)
			}
			if grain != "" && !k.ByPeriod() {
				return usageError("KPI %s is not by period, so --by %s says nothing; `lapwing kpi describe %s` tells what time it is of", k.Name, grain, k.Name)
			}
			conn, database, err := where.open(c.Context(), a.env)
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }() // nothing was written
			r, err := kpi.Run(c.Context(), conn, k, kpi.Options{Database: database, Grain: grain, Model: model, Params: params, Fresh: fresh})
			if err != nil {
				return explainKPI(c.Context(), err, database)
			}
			if format == string(kpi.FormatTable) {
				asOf := ""
				if r.Kept != nil {
					asOf = fmt.Sprintf("As of %s, when it was kept; --fresh computes it now.\n", r.Kept.TakenAt.UTC().Format(time.RFC3339))
				}
				if _, err := fmt.Fprintf(a.stdout, "%s\n%s\n", wrap(k.Meaning, 88), asOf); err != nil {
					return fmt.Errorf("print KPI: %w", err)
				}
			} else if r.Kept != nil { // beside what programs read
				_, _ = fmt.Fprintf(a.stderr, "lapwing: %s is as of %s, when it was kept; --fresh computes it now\n", k.Name, r.Kept.TakenAt.UTC().Format(time.RFC3339))
			}
			return kpi.Render(a.stdout, r, kpi.Format(format))
		},
	}
	where.add(c)
	c.Flags().StringVar(&format, "format", string(kpi.FormatTable), "table, json or csv")
	c.Flags().StringVar(&grain, "by", "", "length of the periods: day, week or month (default: what the KPI is meant for, as a rule month)")
	c.Flags().StringVar(&model, "model", "", "only this stage `MODEL`")
	c.Flags().BoolVar(&fresh, "fresh", false, "compute it now, even if it is kept")
	c.Flags().StringToStringVar(&params, "param", nil, "what the KPI leaves open, such as the name of an event: `NAME=VALUE`")
	return c
}

// likelyKPI asks whether one of a similar name was meant; empty if none is similar.
func likelyKPI(name string) string {
	var names []string
	for _, k := range kpi.Catalogue() {
		names = append(names, k.Name)
	}
	return definition.Suggest(name, names)
}

// listKPIs prints the catalogue; it needs no ClickHouse.
func (a *app) listKPIs(f kpi.Format) error {
	if f != kpi.FormatTable {
		return kpi.Render(a.stdout, kpi.List(), f)
	}
	for i, group := range kpi.Groups() {
		gap := "\n"
		if i == 0 {
			gap = ""
		}
		if _, err := fmt.Fprintf(a.stdout, "%s%s\n", gap, strings.ToUpper(group)); err != nil {
			return fmt.Errorf("print KPIs: %w", err)
		}
		for _, k := range kpi.Catalogue() {
			if k.Group != group {
				continue
			}
			stage := ""
			if k.Stage != "" {
				stage = "for " + k.Stage + ": "
			}
			if _, err := fmt.Fprintf(a.stdout, "%s – %s (view %s)\n%s\n", k.Name, k.Title, k.View, indent(wrap(stage+k.Meaning, 84))); err != nil {
				return fmt.Errorf("print KPIs: %w", err)
			}
		}
	}
	return nil
}

// keepKPIs computes all KPIs and keeps the slow ones.
func (a *app) keepKPIs(ctx context.Context, where *clickHouseFlags) error {
	conn, database, err := where.open(ctx, a.env)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // what was written has been acknowledged
	err = kpi.Keep(ctx, conn, kpi.Keeping{Database: database, Slow: kpi.Slow, Done: func(one kpi.Kept, err error) error {
		if err != nil {
			return err
		}
		verb := "fast"
		switch {
		case one.Kept:
			verb = "kept"
		case one.Took >= kpi.Slow:
			verb = "too many rows to keep:"
		}
		_, _ = fmt.Fprintf(a.stdout, "%s %s (%s)\n", verb, one.Name, one.Took) // progress
		return nil
	}})
	if err != nil {
		return explainKPI(ctx, err, database)
	}
	return nil
}

// describeKPI says what a KPI means; it needs no ClickHouse.
func (a *app) describeKPI(k kpi.KPI, database string) error {
	if database == "" {
		database = "lapwing"
	}
	text, err := kpi.Describe(k, database)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprint(a.stdout, text); err != nil {
		return fmt.Errorf("print KPI: %w", err)
	}
	return nil
}

// explainKPI says what to do about a database that is not ours, or not yet.
func explainKPI(ctx context.Context, err error, database string) error {
	const unknownTable, unknownDatabase = 60, 81
	if ctx.Err() != nil {
		return interrupted(ctx)
	}
	if e, ok := errors.AsType[*clickhouse.Exception](err); ok && (e.Code == unknownTable || e.Code == unknownDatabase) {
		return fmt.Errorf("database %s has no tables of Lapwing, or older ones; `lapwing migrate --apply` makes them", database)
	}
	return err
}

// wrap breaks text between words so that no line is longer than width characters.
func wrap(text string, width int) string {
	var b strings.Builder
	used := 0
	for word := range strings.FieldsSeq(text) {
		n := len([]rune(word))
		switch {
		case used == 0:
		case used+1+n > width:
			b.WriteByte('\n')
			used = 0
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += n
	}
	return b.String()
}

func indent(text string) string { return "    " + strings.ReplaceAll(text, "\n", "\n    ") }
