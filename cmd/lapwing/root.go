// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// app is what the commands share: the way to the world, so that tests can be the world.
type app struct {
	env    func(string) string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
}

// run does what the arguments say and returns the exit code.
func run(ctx context.Context, args []string, env func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{env: env, stdin: stdin, stdout: stdout, stderr: stderr}
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)

	began := false // what goes wrong before a command begins is its usage
	root.PersistentPreRun = func(*cobra.Command, []string) { began = true }
	if unknown := unknownCommand(root, args); unknown != nil {
		return a.report(ctx, unknown)
	}
	command, err := root.ExecuteContextC(ctx)
	var exit *exitError
	if err != nil && !began && !errors.As(err, &exit) {
		if command.ValidateArgs(command.Flags().Args()) != nil {
			err = fmt.Errorf("%w; write `%s`", err, strings.TrimSuffix(command.UseLine(), " [flags]"))
		}
		err = usageError("%w; see `%s --help`", err, command.CommandPath())
	}
	return a.report(ctx, err)
}

// complain writes to standard error; there is nowhere to say that this failed.
func (a *app) complain(format string, args ...any) { _, _ = fmt.Fprintf(a.stderr, format, args...) }

// report says what went wrong in one line and chooses the exit code.
func (a *app) report(ctx context.Context, err error) int {
	if err == nil {
		return exitFine
	}
	code := exitInput
	if exit := (*exitError)(nil); errors.As(err, &exit) {
		code, err = exit.code, exit.err
	}
	if errors.Is(context.Cause(ctx), errInterrupt) {
		code, err = exitInterrupted, errInterrupt
	}
	if err != nil {
		a.complain("lapwing: %s\n", visible(strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")))
	}
	return code
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "lapwing",
		Short: "Live lifecycle stages from a stream of customer events",
		Long: `Lapwing turns a stream of customer events in Kafka into live lifecycle stages: one
state per customer, every stage change on a Kafka topic the moment it becomes true,
also when it becomes true because nothing happened, and KPIs in ClickHouse.

Wherever a definition is asked for, preset:NAME stands for one that ships.
Exit codes: 0 fine, 1 the input or a failed check, 2 usage, 3 a dependency could not
be reached, 130 interrupted.`,
		Example: `  lapwing demo
  lapwing replay -d preset:customer-value sample:cdnow | head
  lapwing replay -d preset:customer-value --explain 00001 sample:cdnow`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(
		a.applyCommand(),
		a.checkCommand(),
		a.configCommand(),
		a.deadLettersCommand(),
		a.demoCommand(),
		a.explainCommand(),
		a.generateCommand(),
		a.initCommand(),
		a.kpiCommand(),
		a.migrateCommand(),
		a.planCommand(),
		a.profileCommand(),
		a.rebuildCommand(),
		a.reconcileCommand(),
		a.replayCommand(),
		a.runCommand(),
		a.sendCommand(),
		a.tailCommand(),
		a.testCommand(),
		a.topicsCommand(),
		a.versionCommand(),
	)
	return root
}

// unknownCommand is the error for a first word that names no command, with what may
// have been meant; nil if it names one.
func unknownCommand(root *cobra.Command, args []string) error {
	i := slices.IndexFunc(args, func(arg string) bool { return !strings.HasPrefix(arg, "-") })
	if i < 0 {
		return nil
	}
	if slices.Contains([]string{"help", "completion", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd}, args[i]) {
		return nil // cobra adds these itself, when it runs
	}
	if found, _, err := root.Find(args[i:]); err == nil && found != root {
		return nil
	}
	root.SuggestionsMinimumDistance = 2
	if near := root.SuggestionsFor(args[i]); len(near) > 0 {
		return usageError("there is no command %q; did you mean `lapwing %s`?", args[i], near[0])
	}
	return usageError("there is no command %q; `lapwing --help` lists them", args[i])
}
