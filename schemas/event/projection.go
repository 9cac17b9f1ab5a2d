// SPDX-License-Identifier: Apache-2.0

package event

import (
	"cmp"
	"slices"
)

// Projection is the set of paths a Decoder extracts beside the envelope. It is
// immutable and safe for concurrent use.
type Projection struct {
	paths [][]string
	slots []int // of each path, into a Decoder's values
	root  *node
	size  int // number of slots
}

// node is one key on the way to something wanted. Nodes are numbered in
// pre-order, so that a node and all below it are the slots [slot, end): what a
// repeated key has to forget.
type node struct {
	name      string
	object    bool // a value that is no object is as if missing
	slot, end int
	children  []*node // by length of name, then by name
	byLength  []int   // children[byLength[n]:byLength[n+1]] have names of n bytes
}

// The envelope's fields, in the order of their slots in every Projection: the
// root is slot 0, these and context's two follow.
var (
	envelope      = []string{"type", "event", "name", "messageId", "userId", "anonymousId", "previousId", "groupId", "timestamp", "originalTimestamp"}
	envelopePaths = [][]string{{"traits"}, {"context", "timezone"}, {"context", "traits"}}
	objects       = []string{"properties", "traits", "context"}
)

// NewProjection compiles paths such as {"properties", "total"}: each begins with
// properties, traits or context and may be one to MaxDepth keys long. A path leads
// through objects only; one that meets a list or a scalar on its way finds nothing,
// and neither does one that begins elsewhere.
func NewProjection(paths ...[]string) *Projection {
	p := &Projection{paths: paths, root: &node{}}
	for _, name := range envelope {
		p.root.at(name)
	}
	for _, path := range envelopePaths {
		p.root.at(path...)
	}
	leaves := make([]*node, len(paths))
	for i, path := range paths {
		leaves[i] = p.root // slot 0, which is never filled
		if len(path) > 0 && slices.Contains(objects, path[0]) {
			leaves[i] = p.root.at(path...)
		}
	}
	for _, name := range objects {
		p.root.at(name).object = true
	}
	p.size = p.root.number(0)
	p.slots = make([]int, len(paths))
	for i, leaf := range leaves {
		p.slots[i] = leaf.slot
	}
	return p
}

// Paths are the projection's paths, in the order of Message.Raw.
func (p *Projection) Paths() [][]string { return p.paths }

// at is the node that path leads to from n, made if it is not there.
func (n *node) at(path ...string) *node {
	for _, name := range path {
		k := slices.IndexFunc(n.children, func(c *node) bool { return c.name == name })
		if k < 0 {
			k = len(n.children)
			n.children = append(n.children, &node{name: name})
		}
		n = n.children[k]
	}
	return n
}

// number gives n and all below it their slots, from slot on, and returns the slot
// after them. It also lays the children out for child.
func (n *node) number(slot int) int {
	n.slot = slot
	slot++
	for _, c := range n.children { // in the order of making: the envelope first
		slot = c.number(slot)
	}
	n.end = slot
	slices.SortFunc(n.children, func(a, b *node) int {
		return cmp.Or(cmp.Compare(len(a.name), len(b.name)), cmp.Compare(a.name, b.name))
	})
	if len(n.children) > 0 {
		longest := len(n.children[len(n.children)-1].name)
		n.byLength = make([]int, longest+2)
		for _, c := range n.children {
			n.byLength[len(c.name)+1]++
		}
		for k := 1; k < len(n.byLength); k++ {
			n.byLength[k] += n.byLength[k-1]
		}
	}
	return slot
}

// child is the child of n with that name, or nil.
func (n *node) child(name []byte) *node {
	if len(name)+1 >= len(n.byLength) {
		return nil
	}
	for _, c := range n.children[n.byLength[len(name)]:n.byLength[len(name)+1]] {
		if c.name == string(name) {
			return c
		}
	}
	return nil
}
