// SPDX-License-Identifier: Apache-2.0

package generate

// plan is what a customer is about to do, a heap by time. Of one instant what was planned
// first comes first as long as the order matters: messages of a visit are seconds apart.
type plan []message

// next is when the next message is planned; never if there is none.
func (p plan) next() int64 {
	if len(p) == 0 {
		return never
	}
	return p[0].at
}

func (p *plan) push(m message) {
	q := append(*p, m)
	i := len(q) - 1
	for i > 0 {
		up := (i - 1) / 2
		if q[up].at <= q[i].at {
			break
		}
		q[up], q[i] = q[i], q[up]
		i = up
	}
	*p = q
}

func (p *plan) pop() message {
	q := *p
	first := q[0]
	n := len(q) - 1
	q[0] = q[n]
	q = q[:n]
	for i := 0; ; {
		least := i
		for _, down := range [...]int{2*i + 1, 2*i + 2} {
			if down < n && q[down].at < q[least].at {
				least = down
			}
		}
		if least == i {
			break
		}
		q[least], q[i] = q[i], q[least]
		i = least
	}
	*p = q
	return first
}
