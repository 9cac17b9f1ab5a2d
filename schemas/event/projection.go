// SPDX-License-Identifier: Apache-2.0

package event

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
	"unicode/utf8"
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
	children  []*node
	names     []name // theirs, by class
	classes   [classes + 1]int32
}

// name is a child's name as the words it is compared by: the names people give, of up
// to 16 bytes, need no more.
type name struct {
	head, tail uint64 // its first eight bytes, zeros behind a shorter one, and its last
	size       int
	whole      string
	written    string // as a key is written without white space, its colon included; empty if it needs escapes
	node       *node
}

// classes is how many classes names fall into, by their length modulo it; those of
// class k are names[classes[k]:classes[k+1]] of their parent.
const classes = 32

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
	for _, c := range n.children {
		head, tail := words([]byte(c.name), 0, len(c.name))
		written := `"` + c.name + `":`
		if strings.ContainsFunc(c.name, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r >= utf8.RuneSelf }) {
			written = ""
		}
		n.names = append(n.names, name{head: head, tail: tail, size: len(c.name), whole: c.name, written: written, node: c})
		n.classes[len(c.name)%classes+1]++
	}
	slices.SortFunc(n.names, func(a, b name) int {
		return cmp.Or(cmp.Compare(a.size%classes, b.size%classes), cmp.Compare(a.whole, b.whole))
	})
	for k := range classes {
		n.classes[k+1] += n.classes[k]
	}
	return slot
}

// words are the first and the last eight bytes of b[start:end]; of fewer than eight,
// all of them, and nothing.
func words(b []byte, start, end int) (head, tail uint64) {
	if end-start >= 8 {
		return binary.LittleEndian.Uint64(b[start:]), binary.LittleEndian.Uint64(b[end-8:])
	}
	for k := end - 1; k >= start; k-- {
		head = head<<8 | uint64(b[k])
	}
	return head, 0
}

// child is the child of n whose name is b[start:end], of which head and tail are the
// words; nil if there is none.
func (n *node) child(head, tail uint64, b []byte, start, end int) *name {
	size := end - start
	class := uint(size) % classes
	for k := n.classes[class]; k < n.classes[class+1]; k++ {
		if c := &n.names[k]; c.head == head && c.tail == tail && c.size == size && (size <= 16 || c.whole == string(b[start:end])) {
			return c
		}
	}
	return nil
}
