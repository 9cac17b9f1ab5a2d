// SPDX-License-Identifier: Apache-2.0

//go:build noembedded || !(linux || darwin) || !(amd64 || arm64)

package embedded

import (
	"context"
	"io"
)

// StartClickHouse returns ErrNotBuiltIn.
func StartClickHouse(context.Context, ClickHouseConfig) (*ClickHouse, error) {
	return nil, ErrNotBuiltIn
}

// EnsureLibrary returns ErrNotBuiltIn.
func EnsureLibrary(context.Context, io.Writer) (string, error) { return "", ErrNotBuiltIn }

// RunChild does nothing: there is no engine to be.
func RunChild() {}
