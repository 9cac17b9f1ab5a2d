// SPDX-License-Identifier: Apache-2.0

package lifecycle

// appendTexts leaves out the hashes, and puts the texts behind all else.
func appendTexts(b []byte, known knownTexts, clock int64) []byte {
	b = appendUint(b, uint64(len(known)))
	for i := range known {
		b = appendUint(b, uint64(len(known[i].text)))
		b = appendInt(b, clock-known[i].last)
	}
	for i := range known {
		b = append(b, known[i].text...)
	}
	return b
}

// knownTexts makes one string of all texts: few of them go.
func (d *decoder) knownTexts() knownTexts {
	known := make(knownTexts, d.len(2))
	sizes := d.b // read again once the texts are found
	all := uint64(0)
	for i := range known {
		all += min(d.uint(), uint64(len(sizes))) // what is larger fails below
		known[i].last = d.clock - d.int()
	}
	if all > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	texts := string(d.take(int(all)))
	again := decoder{b: sizes}
	for i := range known {
		n := again.uint()
		again.int()
		if d.err != nil || n > uint64(len(texts)) {
			d.fail()
			return nil
		}
		known[i].text, texts = texts[:n], texts[n:]
		known[i].hash = hashOf(known[i].text)
		if i > 0 && known[i].hash <= known[i-1].hash {
			d.fail()
			return nil
		}
	}
	return known
}
