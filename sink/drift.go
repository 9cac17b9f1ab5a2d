// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"lapwing/sink/migrate"
	"lapwing/sink/writer"
)

// ErrDrift says that somebody has changed a table that the sink writes. Columns are
// named in every insert and each value must be of its column's type, so no row was
// shifted, cut or converted; nothing is written until the table is as it was.
var ErrDrift = errors.New("the tables are not what this lapwing made them")

// drift refuses tables that rows cannot be written into, or would not replace each
// other in. What does not stand in the way is only warned of. Tables that the sink does not
// write are left alone: with the rights of its role alone it cannot see them.
func (s *Sink) drift(ctx context.Context, m *migrate.Migrator) error {
	all, err := m.Drift(ctx)
	if err != nil {
		return err
	}
	var lines []string
	for _, d := range all {
		if !migrate.Written(d.Table) {
			continue
		}
		if d.Harmless {
			s.log.Warn("a table is not what this lapwing made it", zap.Stringer("difference", d))
			continue
		}
		lines = append(lines, d.String())
	}
	if len(lines) == 0 {
		return nil
	}
	return writer.Fatal(fmt.Errorf("database %s: %w (lapwing migrate shows it, too):\n  %s", s.cfg.Database, ErrDrift, strings.Join(lines, "\n  ")))
}

// explain says of an error that no waiting heals what is wrong with the tables, if
// anything is.
func (s *Sink) explain(ctx context.Context, failed error) error {
	if writer.Classify(failed) != writer.Halt {
		return failed
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	m, err := migrate.New(s.conn, s.cfg.Layout(), zap.NewNop())
	if err != nil {
		return failed
	}
	if why := s.drift(ctx, m); errors.Is(why, ErrDrift) {
		return fmt.Errorf("%w: %w", why, failed)
	}
	return failed // it says enough, and ClickHouse says no more
}
