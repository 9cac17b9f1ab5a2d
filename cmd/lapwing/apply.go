// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"lapwing/schemas/instant"
	"lapwing/stream"
)

// applyFlags are what `lapwing apply` may be told.
type applyFlags struct {
	config, at string
	noWait     bool
}

func (a *app) applyCommand() *cobra.Command {
	var flags applyFlags
	c := &cobra.Command{
		Use:   "apply -c FILE DEF",
		Short: "Put a definition live",
		Long: `Puts a definition in the place of the live one. It is written to the log of every lane
in one transaction; the workers follow it where they read it, whatever file they were
started with. Customers are brought over when they do something, all others in a sweep
beside the live events. What changes by it is told with cause definition; stages and
segments that are no more are left.

FILE is the service's configuration, DEF the new definition. A changed file needs a
greater version: to go back, apply the former content with a new version. What it would
change says lapwing plan.

The command waits until all customers have been brought over. Interrupted, it leaves the
change going on; apply the same file again to see how far it is.`,
		Example: "  lapwing apply -c lapwing.yaml customers.yaml\n  lapwing apply -c lapwing.yaml --no-wait customers.yaml\n  lapwing apply -c lapwing.yaml --at 2026-07-01T00:00:00Z customers.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if flags.config == "" {
				return usageError("say which file: -c lapwing.yaml")
			}
			at := instant.None
			if flags.at != "" {
				var ok bool
				if at, ok = instant.Parse(flags.at); !ok {
					return usageError("--at %q is no time: write it as 2026-07-01T00:00:00Z", flags.at)
				}
			}
			return a.apply(cmd.Context(), &flags, args[0], at)
		},
	}
	c.Flags().StringVarP(&flags.config, "config", "c", "", "the configuration `FILE` of the service")
	c.Flags().StringVar(&flags.at, "at", "", "the `TIME` on the lanes' clocks from which it is live (default: at once)")
	c.Flags().BoolVar(&flags.noWait, "no-wait", false, "end once it is written")
	return c
}

func (a *app) apply(ctx context.Context, flags *applyFlags, ref string, at instant.Instant) error {
	model, _, err := a.loadDefinition(ctx, ref)
	if err != nil {
		return err
	}
	c, deps, err := a.connect(ctx, flags.config)
	if err != nil {
		return err
	}
	def := model.Definition()
	application, err := stream.Apply(ctx, c.Stream, def, deps, at)
	if ctx.Err() != nil && err != nil {
		return interrupted(ctx)
	}
	if err != nil {
		return err
	}
	switch {
	case application.Former == application.Version:
		err = a.say("%s version %d is the live definition already\n", def.Name.Value, def.Version)
	case at != instant.None:
		err = a.say("%s version %d follows version %d at %s\n", def.Name.Value, def.Version, application.Former, at)
	default:
		err = a.say("%s version %d follows version %d\n", def.Name.Value, def.Version, application.Former)
	}
	if err != nil || flags.noWait {
		return err
	}
	p := &applyProgress{line: newRebuildProgress(a), begin: time.Now(), at: application.At}
	err = application.Wait(ctx, p.show)
	p.line.clear()
	if ctx.Err() != nil {
		a.complain("the change goes on by itself; to see how far it is, apply the same file again\n")
		return interrupted(ctx)
	}
	if err != nil {
		return err
	}
	return a.say("all lanes follow it, and all %s customers have been brought over\n", grouped(p.last.Customers))
}

// applyProgress shows how far the lanes are.
type applyProgress struct {
	line  *rebuildProgress
	begin time.Time
	at    instant.Instant
	last  stream.Succeeding
}

// hintAfter is how long nothing may follow before it is said why that may be.
const hintAfter = 15 * time.Second

func (p *applyProgress) show(now stream.Succeeding) {
	p.last = now
	text := fmt.Sprintf("%d of %d lanes follow", now.Followed, now.Lanes)
	if now.Followed > 0 {
		text += fmt.Sprintf(", %s of %s customers brought over", grouped(now.Customers-now.Left), grouped(now.Customers))
	}
	switch {
	case now.Followed == now.Lanes:
	case p.at != instant.None:
		text += fmt.Sprintf("; it is live once their clocks stand at %s; to put another in its place, apply it without --at", p.at)
	case time.Since(p.begin) > hintAfter:
		text += "; lanes follow once their workers run and their clocks have come to it"
	}
	p.line.line(text, now.Done == now.Lanes)
}
