// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package chdblib

// checkSpace refuses: there is no library for these systems.
func checkSpace(string, int64) error { return ErrPlatform }
