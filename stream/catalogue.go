// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"

	"lapwing/schemas/definition"
	"lapwing/schemas/instant"
	"lapwing/schemas/mailbox"
	"lapwing/stream/lifecycle"
	"lapwing/stream/store"
)

// catalogue compiles definitions, each once for all lanes of a process, whichever version
// they meet. Safe for concurrent use.
type catalogue struct {
	mu         sync.Mutex
	compiled   map[string]*lifecycle.Model // by hash
	publishing map[publication]*lifecycle.Model
}

type publication struct {
	hash string
	from instant.Instant
}

// newCatalogue knows the models that are given.
func newCatalogue(models ...*lifecycle.Model) *catalogue {
	c := &catalogue{compiled: map[string]*lifecycle.Model{}, publishing: map[publication]*lifecycle.Model{}}
	for _, m := range models {
		c.compiled[m.Definition().Hash] = m
	}
	return c
}

// compile parses and compiles a definition's file. source is not kept.
func (c *catalogue) compile(name string, source []byte) (*lifecycle.Model, error) {
	def, problems := definition.Parse(name, bytes.Clone(source)) // the definition keeps it
	if def == nil {
		return nil, fmt.Errorf("read definition %s: %v", name, problems)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.compiled[def.Hash]; m != nil {
		return m, nil
	}
	m, more := lifecycle.Compile(def)
	if m == nil {
		return nil, fmt.Errorf("compile definition %s version %d: %v", name, def.Version, append(problems, more...))
	}
	c.compiled[def.Hash] = m
	return m, nil
}

// known is the compiled definition of that hash; nil if it has not been met.
func (c *catalogue) known(hash string) *lifecycle.Model {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.compiled[hash]
}

// from is m with publish_from set, one for all lanes that share it.
func (c *catalogue) from(m *lifecycle.Model, at instant.Instant) *lifecycle.Model {
	key := publication{m.Definition().Hash, at}
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.publishing[key]
	if p == nil {
		p = m.PublishingFrom(at)
		c.publishing[key] = p
	}
	return p
}

// definitionID is the id of a definition's state record.
func definitionID(version int64) string { return strconv.FormatInt(version, 10) }

// read makes all definitions known that a lane keeps in its changelog, and returns their
// versions.
func (c *catalogue) read(s *store.Store, id store.Lane) (versions map[int64]bool, err error) {
	versions = map[int64]bool{}
	err = s.Each(id, byte(mailbox.StateDefinition), func(key, value []byte) error {
		source, err := mailbox.DecodeDefinition(value)
		if err != nil {
			return fmt.Errorf("lane %d: %w", id.Lane, err)
		}
		m, err := c.compile("version "+string(key), source)
		if err != nil {
			return fmt.Errorf("lane %d: %w: %w: start the Lapwing that has put it live", id.Lane, ErrNotUnderstood, err)
		}
		versions[m.Definition().Version] = true
		return nil
	})
	return versions, err
}

// lineage is the definitions by which a lane's customers were made. All must be known.
func (c *catalogue) lineage(rec *mailbox.Lane) (*lifecycle.Lineage, error) {
	var l *lifecycle.Lineage
	all := append(rec.Former[:len(rec.Former):len(rec.Former)], mailbox.Succession{Version: rec.Version, Hash: rec.Hash, Since: rec.Since})
	for _, s := range all {
		m := c.known(s.Hash)
		if m == nil {
			return nil, fmt.Errorf("the lane's customers were computed by %s version %d (hash %.12s), which is to be found neither in the state topic nor among the definitions: %w: "+
				"run that definition, or another generation, which computes from the beginning", rec.Definition, s.Version, s.Hash, ErrOtherDefinition)
		}
		m = c.from(m, rec.PublishFrom)
		if l == nil {
			l = lifecycle.NewLineage(m)
		} else {
			l = l.Then(m, s.Since)
		}
	}
	return l, nil
}
