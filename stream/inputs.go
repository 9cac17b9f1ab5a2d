// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
)

// ErrInputGone says that the records to read next are not there any more.
var ErrInputGone = errors.New("the records to read next are gone")

// gone says of an error of a read, if it is that the log does not have the position,
// what to do about it. Reading on from the log's beginning would leave a gap in every
// customer that had events in it, and nobody would know.
func gone(err error) error {
	if !errors.Is(err, kerr.OffsetOutOfRange) {
		return err
	}
	return fmt.Errorf("%w: %w: they were deleted (by retention, by hand, or with the topic) before they were read: "+
		"bring them back, or run another generation, which computes from what there is", ErrInputGone, err)
}

// inputLook is how often the inputs are looked at.
const inputLook = 10 * time.Second

// watchInputs looks for transactions in inputs that do not end, until ctx does. What
// cannot be found out now is found out later.
func watchInputs(ctx context.Context, log *zap.Logger, cfg *Config, deps *Deps, m *metrics, reads []string) error {
	client, err := kgo.NewClient(clientOpts(cfg, deps, cfg.member("", 0)+"-inputs")...)
	if err != nil {
		return fmt.Errorf("create client: %w", err)
	}
	defer client.Close()
	hung := newHungWatch(log, m, kadm.NewClient(client), reads)
	tick := time.NewTicker(inputLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		looking, cancel := context.WithTimeout(ctx, inputLook)
		err := hung.look(looking, time.Now())
		cancel()
		if err != nil && ctx.Err() == nil {
			log.Debug("looking at the inputs", zap.Error(err))
		}
	}
}
