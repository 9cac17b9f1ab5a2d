// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestReadDeadLetterRefusesWhatIsNone(t *testing.T) {
	header := func(pairs ...string) (all []kgo.RecordHeader) {
		for i := 0; i < len(pairs); i += 2 {
			all = append(all, kgo.RecordHeader{Key: pairs[i], Value: []byte(pairs[i+1])})
		}
		return all
	}
	got, err := ReadDeadLetter(&kgo.Record{Headers: header("generation", "1", "cause", "too_large", "source_topic", "t", "source_partition", "3", "source_offset", "4", "original_bytes", "5")})
	if want := (DeadLetter{"too_large", "t", 3, 4, 5}); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range [][]kgo.RecordHeader{
		nil, header("cause", "x"), header("source_topic", "t"),
		header("cause", "x", "source_topic", "t", "source_partition", "-"), header("cause", "x", "source_topic", "t", "source_offset", ""),
		header("cause", "x", "source_topic", "t", "source_partition", "2147483648"),
	} {
		if d, err := ReadDeadLetter(&kgo.Record{Headers: bad}); err == nil {
			t.Errorf("%v is taken for %+v", bad, d)
		}
	}
}
