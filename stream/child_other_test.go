// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package stream

import "errors"

func limitFiles(bytes uint64) error {
	if bytes == 0 {
		return nil
	}
	return errors.New("files can be limited on Linux only")
}
