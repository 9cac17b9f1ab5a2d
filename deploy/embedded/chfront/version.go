// SPDX-License-Identifier: Apache-2.0

package chfront

// The server's version as clients see it: clickhouse-go chooses encodings by it.
const (
	versionMajor = 26
	versionMinor = 7
	versionPatch = 3
)
