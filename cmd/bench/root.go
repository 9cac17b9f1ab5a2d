// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitFine        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// drawn says what most modes do with --customers.
const drawn = "customers, drawn by a Zipf law"

// usageError is an error in the arguments.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// run does what the arguments say and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := rootCommand(stdout, stderr)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	began := false // what goes wrong before a command begins is its usage
	root.PersistentPreRun = func(*cobra.Command, []string) { began = true }
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitFine
	}
	if ctx.Err() != nil {
		_, _ = fmt.Fprintln(stderr, "bench: interrupted") // there is nowhere to say that this failed
		return exitInterrupted
	}
	_, _ = fmt.Fprintf(stderr, "bench: %v\n", err)
	switch usage := (usageError{}); {
	case !began || errors.As(err, &usage):
		return exitUsage
	}
	return exitFailed
}

func rootCommand(stdout, stderr io.Writer) *cobra.Command {
	var s settings
	root := &cobra.Command{
		Use:   "bench",
		Short: "Measure Lapwing on a real Kafka, alone or beside a peer",
		Long: `Starts a real Kafka broker, writes events, runs Lapwing and others over them in turns,
and prints medians and ratios. README.md beside the source says what each figure means.`,
		Example:       "  go run ./cmd/bench drain --rounds 5 --compare --peer DIR --json figures.jsonl",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("say what to measure: drain, latency, stall, customers, restore or sweep; or compare; see --help")}
		},
	}
	s.flags(root)

	// in opens a bench for a mode, and closes it whatever happens.
	in := func(use, short string, act func(ctx context.Context, b *bench) error, check func() error) *cobra.Command {
		return &cobra.Command{
			Use: use, Short: short, Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) (err error) {
				if err := check(); err != nil {
					return usageError{err}
				}
				b, err := openBench(cmd.Context(), cmd.Name(), s, stdout, stderr)
				if err != nil {
					return err
				}
				defer func() { err = errors.Join(err, b.close(cmd.Context())) }()
				return act(cmd.Context(), b)
			},
		}
	}
	// Each command has variables of its own for flags whose default is its own.
	customersFlag := func(c *cobra.Command, count *int, usual int, holds string) {
		c.Flags().IntVar(count, "customers", usual, holds)
	}
	loadFlags := func(c *cobra.Command, l *load, warm time.Duration) {
		c.Flags().IntVar(&l.rate, "rate", 20_000, "events per second")
		c.Flags().DurationVar(&l.settle, "settle", 5*time.Second, "pause between the program's start and the first event")
		c.Flags().DurationVar(&l.warm, "warm", warm, "load before the measured time")
	}

	var contenders []contender
	choose := func(count int, all func(peerThere bool) []contender) (err error) {
		s.customers = count
		contenders, err = chosen(all(s.peer != ""), s.only)
		return err
	}

	var drainCustomers, latencyCustomers, stallCustomers, manyCustomers, fewCustomers, restoreCustomers int
	var compareRuns bool
	drain := in("drain", "Events per second of a backlog, from the program's start",
		func(ctx context.Context, b *bench) error { return b.drain(ctx, contenders, compareRuns) },
		func() error { return choose(drainCustomers, drainContenders) })
	drain.Flags().BoolVar(&compareRuns, "compare", false, "the stage changes of all runs have to be equal")
	customersFlag(drain, &drainCustomers, 200_000, drawn)

	var latencyLoad load
	latency := in("latency", "From the creation of an event to its visible stage change, under live load",
		func(ctx context.Context, b *bench) error { return b.latency(ctx, contenders, latencyLoad) },
		func() error { return errors.Join(choose(latencyCustomers, latencyContenders), latencyLoad.check()) })
	loadFlags(latency, &latencyLoad, 10*time.Second)
	latency.Flags().DurationVar(&latencyLoad.length, "for", 30*time.Second, "measured time")
	customersFlag(latency, &latencyCustomers, 200_000, drawn)

	stallLoad := load{length: 3 * time.Second} // what is watched once the stream goes on
	stall := in("stall", "How long readers see nothing after SIGKILL of a worker that holds a transaction",
		func(ctx context.Context, b *bench) error { return b.stall(ctx, stallLoad) },
		func() error { s.customers = stallCustomers; return stallLoad.check() })
	loadFlags(stall, &stallLoad, 5*time.Second)
	customersFlag(stall, &stallCustomers, 200_000, drawn)

	customers := in("customers", "The same backlog over many customers on disk, and over few",
		func(ctx context.Context, b *bench) error { return b.customersMode(ctx, fewCustomers) },
		func() error {
			s.customers = manyCustomers
			if fewCustomers < 2 || fewCustomers > maxCustomers || fewCustomers == manyCustomers {
				return fmt.Errorf("--against is %d: want 2 to %d, and not --customers", fewCustomers, maxCustomers)
			}
			return nil
		})
	customersFlag(customers, &manyCustomers, 10_000_000, "customers in the store before the backlog begins")
	customers.Flags().IntVar(&fewCustomers, "against", 200_000, "the number of customers to compare with")

	restore := in("restore", "How long an instance takes to be ready, with its local store and without",
		func(ctx context.Context, b *bench) error { return b.restore(ctx) },
		func() error { s.customers = restoreCustomers; return nil })
	customersFlag(restore, &restoreCustomers, 1_000_000, "customers in the store")

	var sweepCustomers int
	var sweepLoad load
	sweep := in("sweep", "Live latency while a definition follows the live one, and all customers are brought over",
		func(ctx context.Context, b *bench) error { return b.sweep(ctx, sweepLoad) },
		func() error { s.customers = sweepCustomers; return sweepLoad.check() })
	loadFlags(sweep, &sweepLoad, 10*time.Second)
	sweep.Flags().DurationVar(&sweepLoad.length, "for", 20*time.Second, "measured time before the sweep")
	customersFlag(sweep, &sweepCustomers, 1_000_000, "customers in the store")

	root.AddCommand(drain, latency, stall, customers, restore, sweep, compareCommand(&s, stdout, stderr), parseChild())
	return root
}

func compareCommand(s *settings, stdout, stderr io.Writer) *cobra.Command {
	var a, b string
	c := &cobra.Command{
		Use:   "compare --bootstrap HOST:PORT -a TOPIC -b TOPIC",
		Short: "Whether two topics hold the same stage changes, customer by customer",
		Long: `Compares from, to and effective_at of every customer's changes, in order, and prints the
first differences. Exit code 1 if there are any.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if s.bootstrap == "" || a == "" || b == "" {
				return usageError{errors.New("say where and what: --bootstrap, -a and -b")}
			}
			work := &bench{settings: *s, stdout: stdout, stderr: stderr}
			return work.compareTopics(cmd.Context(), a, b)
		},
	}
	c.Flags().StringVarP(&a, "topic-a", "a", "", "topic of stage changes")
	c.Flags().StringVarP(&b, "topic-b", "b", "", "topic of stage changes")
	return c
}
