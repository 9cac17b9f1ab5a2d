// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/twmb/franz-go/pkg/kerr"
)

// ErrAway says that Kafka or ClickHouse could not be reached, or went away.
var ErrAway = errors.New("a server went away")

// failed wraps what a server answered, and as ErrAway what kept it from answering.
func failed(what string, err error) error {
	_, clickHouse := errors.AsType[*ch.Exception](err)
	_, kafka := errors.AsType[*kerr.Error](err)
	if clickHouse || kafka || errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: %w: %w", what, ErrAway, err)
}
