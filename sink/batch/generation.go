// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"fmt"
	"strconv"
	"strings"

	"lapwing/schemas/topics"
)

// GenerationHeader is the header that says which generation wrote a record.
const GenerationHeader = "generation"

// ReadGeneration reads that header.
func ReadGeneration(header []byte) (uint16, error) {
	n, err := strconv.ParseUint(string(header), 10, 16)
	if err != nil {
		return 0, fmt.Errorf("header %s: %w", GenerationHeader, err)
	}
	return uint16(n), nil
}

// GenerationKey begins the keys of those records of the definitions topic that are
// about a generation: which one is live. No definition's name has a dot.
const GenerationKey = "generation."

// AboutGeneration reports whether a record is about a generation, and so gives no rows.
func AboutGeneration(name string, key []byte) bool {
	return name == topics.Definitions && strings.HasPrefix(string(key), GenerationKey)
}
