// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"lapwing/stream/streamtest"
)

func (a *app) testCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "test SCENARIO…",
		Short: "Run scenario files: who does what when, and which changes are expected",
		Long: `Runs scenario files against the definitions they name. A scenario is plain text:

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
		RunE:    func(_ *cobra.Command, files []string) error { return a.test(files) },
	}
}

func (a *app) test(files []string) error {
	failed := 0
	for _, file := range files {
		source, err := os.ReadFile(file) //nolint:gosec // the user names it
		if err != nil {
			return fmt.Errorf("read the scenario: %w", err)
		}
		result := streamtest.Run(file, source, os.ReadFile)
		line := fmt.Sprintf("ok    %s  (%d events, %d expectations)  %s\n", file, result.Events, result.Expectations, result.Rule)
		if !result.OK() {
			failed++
			a.complain("%s", result.Explain())
			line = fmt.Sprintf("FAIL  %s  (%s)  %s\n", file, times(len(result.Failures), "failure"), result.Rule)
		}
		if _, err := io.WriteString(a.stdout, line); err != nil {
			return fmt.Errorf("write the results: %w", err)
		}
	}
	if failed > 0 {
		return &exitError{code: exitInput, err: fmt.Errorf("%d of %s failed", failed, times(len(files), "scenario"))}
	}
	return nil
}

// times is a number with its noun.
func times(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
