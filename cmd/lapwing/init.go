// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"lapwing/schemas/presets"
)

func (a *app) initCommand() *cobra.Command {
	var preset, output string
	c := &cobra.Command{
		Use:   "init --preset PRESET",
		Short: "Write a definition to start from",
		Long: `Writes a preset into a file of your own, with a comment on each choice and its
thresholds on top, under params. A file that is there already is never overwritten.

The presets:
` + presetList(),
		Example: `  lapwing init --preset e-commerce
  lapwing init --preset customer-value -o lifecycle.yaml
  lapwing init --preset media -o - | less`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.init(preset, output) },
	}
	c.Flags().StringVarP(&preset, "preset", "p", "", "the `PRESET` to begin with")
	c.Flags().StringVarP(&output, "output", "o", "", "the `FILE` to write, - for standard output (default PRESET.yaml)")
	if err := c.RegisterFlagCompletionFunc("preset", cobra.FixedCompletions(presets.Names(), cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(fmt.Sprintf("lapwing: init has no flag --preset: %v", err))
	}
	return c
}

// presetList has a line for each preset: its name and whom it is for.
func presetList() string {
	var b strings.Builder
	for _, name := range presets.Names() {
		fmt.Fprintf(&b, "  %-22s %s\n", name, presets.Title(name))
	}
	return strings.TrimRight(b.String(), "\n")
}

func (a *app) init(preset, output string) error {
	name := strings.TrimPrefix(preset, "preset:") // as it is written elsewhere
	if name == "" {
		return usageError("say which preset: --preset NAME; there is: %s", strings.Join(presets.Names(), ", "))
	}
	source, err := presets.Find(name)
	if err != nil {
		return usageError("--preset: %w", err)
	}
	if output == "-" {
		_, err := a.stdout.Write(source)
		if err != nil {
			return fmt.Errorf("write the definition: %w", err)
		}
		return nil
	}
	if output == "" {
		output = name + ".yaml"
	}
	if err := writeNew(output, source); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "wrote %s; make it yours, then: lapwing check %[1]s\n", output)
	return err
}

// writeNew writes a file that must not be there yet. What it could not finish it removes.
func writeNew(file string, content []byte) error {
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // a file that others may read, and the user names it
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s is there already and was left as it is; name another file: -o FILE", file)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no folder for %s; make it first", file)
	case err != nil:
		return fmt.Errorf("create the definition: %w", err)
	}
	_, err = out.Write(content)
	if err = errors.Join(err, out.Close()); err != nil {
		return errors.Join(fmt.Errorf("write the definition: %w", err), os.Remove(file))
	}
	return nil
}
