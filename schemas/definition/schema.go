// SPDX-License-Identifier: Apache-2.0

package definition

import _ "embed"

// Schema is the JSON Schema (2020-12) of a definition, for editors: it knows the
// shape of a file, not the meaning of its conditions.
//
//go:embed definition.schema.json
var Schema string
