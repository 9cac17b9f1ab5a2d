// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"lapwing/schemas/definition"
	"lapwing/schemas/presets"
	"lapwing/stream/lifecycle"
)

// maxDefinitionBytes is one more than a definition may have, so that Parse sees that
// a file is too long without our reading all of it.
const maxDefinitionBytes = 1<<20 + 1

// readDefinition reads what ref names: a file, "-" for stdin, or preset:NAME.
func (a *app) readDefinition(ctx context.Context, ref string) (source []byte, err error) {
	if name, ok := strings.CutPrefix(ref, "preset:"); ok {
		return presets.Find(name)
	}
	in, err := a.openInput(ctx, ref)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no file %s; a definition that ships is named like preset:%s", ref, presets.Names()[0])
	}
	if err != nil {
		return nil, fmt.Errorf("open the definition: %w", err)
	}
	defer func() { _ = in.Close() }() // it was only read
	source, err = io.ReadAll(io.LimitReader(in, maxDefinitionBytes))
	if err != nil {
		return nil, fmt.Errorf("read the definition: %w", err)
	}
	return source, nil
}

// loadDefinition reads, parses and compiles. Problems that are errors are printed and
// end in errFailed; warnings are returned for who wants to show them.
func (a *app) loadDefinition(ctx context.Context, ref string) (*lifecycle.Model, []definition.Problem, error) {
	source, err := a.readDefinition(ctx, ref)
	if err != nil {
		return nil, nil, err
	}
	model, problems := lifecycle.Check(definition.ParsePartial(ref, source))
	if definition.HasErrors(problems) {
		return nil, problems, errors.Join(definition.Render(a.stderr, ref, source, problems), errFailed)
	}
	return model, problems, nil
}
