// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"lapwing/stream/streamtest"
)

func (a *app) testCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "test SCENARIO…",
		Short: "Run scenario files: who does what when, and which changes are expected",
		Long: `Runs scenario files, or - for standard input, against the definitions they name.
A scenario is plain text:

  # A buyer who goes quiet for 90 days is at risk.
  definition: preset:customer-value

  on 1997-01-01 ana buys 40.00
  expect ana value → new at 1997-01-01 because event
  until 1997-04-01
  expect ana value new → at_risk at 1997-04-01 because deadline

What did not come true is shown with the line, and with a picture of the customer.
The manual of the language is stream/streamtest/README.md.`,
		Example: "  lapwing test scenarios/*.txt",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(cmd *cobra.Command, files []string) error { return a.test(cmd.Context(), files) },
	}
}

// maxScenarioBytes is what a file may have; a story that people read has far less.
const maxScenarioBytes = 16 << 20

func (a *app) test(ctx context.Context, files []string) error {
	if err := onlyOnce(files); err != nil {
		return err
	}
	failed := 0
	for _, file := range files {
		source, err := a.readScenario(ctx, file)
		if err != nil {
			return err
		}
		result := streamtest.Run(file, source, os.ReadFile)
		line := fmt.Sprintf("ok    %s  (%d events, %d expectations)  %s\n", file, result.Events, result.Expectations, result.Rule)
		if !result.OK() {
			failed++
			a.complain("%s", visible(result.Explain()))
			line = fmt.Sprintf("FAIL  %s  (%s)  %s\n", file, times(len(result.Failures), "failure"), result.Rule)
		}
		if _, err := io.WriteString(a.stdout, visible(line)); err != nil {
			return fmt.Errorf("write the results: %w", err)
		}
	}
	if failed > 0 {
		return &exitError{code: exitInput, err: fmt.Errorf("%d of %s failed", failed, times(len(files), "scenario"))}
	}
	return nil
}

func (a *app) readScenario(ctx context.Context, file string) ([]byte, error) {
	if strings.HasPrefix(file, "preset:") {
		return nil, usageError("%s is a definition; test runs scenarios, text files of who does what when and which changes are expected, that begin with `# the rule` and `definition: %s`: see `lapwing test --help`", file, file)
	}
	in, err := a.openInput(ctx, file)
	if err != nil {
		return nil, fmt.Errorf("read the scenario: %w", err)
	}
	defer func() { _ = in.Close() }() // it was only read
	source, err := io.ReadAll(io.LimitReader(in, maxScenarioBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the scenario: %w", err)
	}
	if len(source) > maxScenarioBytes {
		return nil, fmt.Errorf("%s is no scenario: it has more than %d MiB", file, maxScenarioBytes>>20)
	}
	return source, nil
}

// times is a number with its noun.
func times(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%s %ss", grouped(int64(n)), noun)
}
