// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"lapwing/schemas/presets"
)

// initFlags are what init is asked for.
type initFlags struct {
	preset    string
	campaigns bool
	output    string // empty: PRESET.yaml; -: standard output
	scenarios string // a folder; empty: none
}

func (a *app) initCommand() *cobra.Command {
	var f initFlags
	c := &cobra.Command{
		Use:   "init --preset PRESET",
		Short: "Write a definition to start from",
		Long: `Writes a preset into a file of your own, with a comment on each choice and its
thresholds on top, under params. With --scenarios also the examples that prove it: change
both together, and ` + "`lapwing test`" + ` says what your changes mean. With --campaigns also
campaigns that go with the preset, with their goals: customers are assigned to them as soon
as the definition is live, so send what they promise. A file that is there already is never
overwritten.

The presets:
` + presetList(),
		Example: `  lapwing init --preset e-commerce --scenarios scenarios
  lapwing init --preset customer-value --campaigns -o lifecycle.yaml
  lapwing init --preset media -o - | less`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.init(f) },
	}
	c.Flags().StringVarP(&f.preset, "preset", "p", "", "the `PRESET` to begin with")
	c.Flags().BoolVar(&f.campaigns, "campaigns", false, "with the campaigns that go with the preset")
	c.Flags().StringVarP(&f.output, "output", "o", "", "the `FILE` to write, - for standard output (default PRESET.yaml)")
	c.Flags().StringVar(&f.scenarios, "scenarios", "", "write the preset's scenarios into this `FOLDER`, too")
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

func (a *app) init(f initFlags) error {
	name := strings.TrimPrefix(f.preset, "preset:") // as it is written elsewhere
	if name == "" {
		return usageError("say which preset: --preset NAME; there is: %s", strings.Join(presets.Names(), ", "))
	}
	source, err := presets.Find(name)
	if err != nil {
		return usageError("--preset: %w", err)
	}
	if f.campaigns {
		if source, err = presets.WithCampaigns(name); err != nil {
			return usageError("--campaigns: %w", err)
		}
	}
	if f.output == "-" {
		if f.scenarios != "" {
			return usageError("--scenarios needs a definition that is a file: they name it; leave `-o -` away")
		}
		if _, err := a.stdout.Write(source); err != nil {
			return fmt.Errorf("write the definition: %w", err)
		}
		return nil
	}
	if f.output == "" {
		f.output = name + ".yaml"
	}
	files := []newFile{{f.output, source}}
	if f.scenarios != "" {
		more, err := scenarioFiles(name, f.scenarios, f.output)
		if err != nil {
			return err
		}
		files = append(files, more...)
	}
	for _, file := range files { // nothing is written if something is in the way
		if _, err := os.Lstat(file.path); err == nil {
			return fmt.Errorf("%s is there already and was left as it is: write to another place", file.path)
		}
	}
	if f.scenarios != "" {
		if err := os.MkdirAll(f.scenarios, 0o755); err != nil { //nolint:gosec // for others to read, too
			return fmt.Errorf("make the folder of the scenarios: %w", err)
		}
	}
	for _, file := range files {
		if err := file.write(); err != nil {
			return err
		}
	}
	said := fmt.Sprintf("wrote %s; make it yours, then: lapwing check %[1]s\n", f.output)
	if f.scenarios != "" {
		said += fmt.Sprintf("wrote %s; run them: lapwing test %s\n", times(len(files)-1, "scenario"), filepath.Join(f.scenarios, "*.txt"))
	}
	if _, err := io.WriteString(a.stdout, said); err != nil {
		return fmt.Errorf("say what was written: %w", err)
	}
	return nil
}

// scenarioFiles are the preset's scenarios as they are to stand in folder, naming the
// definition by its way from there.
func scenarioFiles(preset, folder, definition string) ([]newFile, error) {
	from, err := filepath.Abs(folder)
	if err != nil {
		return nil, fmt.Errorf("find the folder of the scenarios: %w", err)
	}
	to, err := filepath.Abs(definition)
	if err != nil {
		return nil, fmt.Errorf("find the definition: %w", err)
	}
	if rel, err := filepath.Rel(from, to); err == nil { // else on another drive
		to = rel
	}
	var files []newFile
	for _, s := range presets.Scenarios(preset) {
		text := strings.Replace(s.Text, "\ndefinition: preset:"+preset+"\n", "\ndefinition: "+filepath.ToSlash(to)+"\n", 1)
		files = append(files, newFile{filepath.Join(folder, s.Name), []byte(text)})
	}
	return files, nil
}

// newFile is a file that must not be there yet.
type newFile struct {
	path    string
	content []byte
}

// write makes the file. What it cannot finish it removes.
func (f newFile) write() error {
	out, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // for others to read, too, and the user names it
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s is there already and was left as it is: write to another place", f.path)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no folder for %s; make it first", f.path)
	case err != nil:
		return fmt.Errorf("create %s: %w", f.path, err)
	}
	_, err = out.Write(f.content)
	if err = errors.Join(err, out.Close()); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", f.path, err), os.Remove(f.path))
	}
	return nil
}
