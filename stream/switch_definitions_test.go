// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kgo"

	"lapwing/schemas/instant"
	"lapwing/schemas/topics"
)

// lives checks which generation is live, and which version was last applied to it.
func (w *world) lives(generation uint32, version int64) {
	w.t.Helper()
	deps := w.deps(&plug{w: w})
	deps.fill()
	of, err := liveOrigin(w.t.Context(), &w.cfg, &deps)
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := openBase(w.t.Context(), &w.cfg, &deps, of)
	if err != nil {
		w.t.Fatal(err)
	}
	if of.Generation != generation || b.def.Version != version {
		w.t.Errorf("generation %d is live with version %d, want generation %d with version %d", of.Generation, b.def.Version, generation, version)
	}
}

// besides runs version 1 as generation 1 and computes generation 2 with another definition.
func (w *world) besides(source string) *running {
	w.t.Helper()
	messages, cuts, at, _ := followStory(w.t, 700)
	r := w.start(w.cfg)
	w.produce("events", messages[:cuts[0]]...)
	w.end(at[0])
	w.wait(r, at[0])
	w.def = parse(w.t, []byte(source))
	w.shadowed(w.next())
	return r
}

// A generation that was computed with an older definition than what has been applied to the
// live one meanwhile is not switched to: nothing that was applied is taken back unsaid. With
// the same definition, or a greater version, it is.
func TestSwitchTakesNoDefinitionBack(t *testing.T) {
	for _, c := range []struct {
		name, computed, applied string
		want                    error
		says                    string
	}{
		{"older", followSecond, followThird(), ErrOlderVersion, "version 3 of shop is live, generation 2 has version 2"},
		{"the same", followSecond, followSecond, nil, ""},
		{"newer", followThird(), followSecond, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, []byte(followFirst), small)
				r := w.besides(c.computed)
				a := w.apply(c.applied, instant.None)
				w.awaitFollowing(a, true)
				r.stop(t)
				rb, _ := w.rebuild(w.next())
				err := rb.Switch(t.Context(), quiet)
				if !errors.Is(err, c.want) {
					t.Fatalf("switched with %v, want %v", err, c.want)
				}
				if c.want == nil {
					w.lives(2, w.def.Version)
					return
				}
				if !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "--drop 2") {
					t.Errorf("%v does not say %q and what to do", err, c.says)
				}
				if n := w.public(2); n > 0 {
					t.Errorf("%d records of a generation that was not switched to", n)
				}
				w.lives(1, a.Version)
			})
		})
	}
}

// Under another prefix the same version may have another content: that is not switched to.
func TestReplacesOnlyWithTheSameContent(t *testing.T) {
	live := newActivation(parse(t, []byte(followSecond)), day0)
	other := parse(t, []byte(strings.Replace(followSecond, "'60d'", "'61d'", 1)))
	if err := replaces(&live, other, 2); !errors.Is(err, ErrDefinitionChanged) || !strings.Contains(err.Error(), "version 3") {
		t.Errorf("another content: %v, want ErrDefinitionChanged", err)
	}
	if err := replaces(&live, parse(t, []byte(strings.Replace(followFirst, "name: shop", "name: other", 1))), 2); err != nil {
		t.Errorf("another name: %v", err)
	}
}

// A definition that was applied while the workers were away, and lies in the mailboxes, is
// first to come to its lanes.
func TestSwitchWaitsForADefinition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []byte(followFirst), small)
		r := w.besides(followSecond)
		r.stop(t)
		a := w.apply(followSecond, instant.None)
		rb, _ := w.rebuild(w.next())
		err := rb.Switch(t.Context(), quiet)
		if !errors.Is(err, ErrUndelivered) || !strings.Contains(err.Error(), "definitions that were applied to generation 1") {
			t.Fatalf("switched with %v, want ErrUndelivered", err)
		}
		r = w.start(w.cfg)
		w.awaitFollowing(a, true)
		r.stop(t)
		w.switchTo(w.next(), nil)
		w.lives(2, 2)
	})
}

// Of a switch and an apply at the same time one comes to nothing: a definition that is
// applied under way ends the switch, and one that was begun before cannot be committed into
// the generation that has ended.
func TestSwitchAndApplyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []byte(followFirst), small)
		r := w.besides(followSecond)
		r.stop(t)
		var a *Application
		rb, _ := w.rebuild(w.next())
		err := rb.Switch(t.Context(), func(Progress) {
			if a == nil {
				a = w.apply(followSecond, instant.None)
			}
		})
		if !errors.Is(err, ErrOvertaken) {
			t.Fatalf("switched with %v, want ErrOvertaken", err)
		}
		w.lives(1, 2)
		r = w.start(w.cfg)
		w.awaitFollowing(a, true)
		r.stop(t)

		deps := w.deps(&plug{w: w})
		deps.fill()
		begun, err := newApplier(t.Context(), &w.cfg, &deps)
		if err != nil {
			t.Fatal(err)
		}
		defer begun.Close()
		w.switchTo(w.next(), nil)
		err = overtaken(inOne(t.Context(), begun, &kgo.Record{Topic: w.cfg.topic(topics.Definitions), Key: []byte("shop"), Value: []byte("{}")}))
		if !errors.Is(err, ErrOvertaken) {
			t.Errorf("applied after the switch: %v, want ErrOvertaken", err)
		}
		if a := w.apply(followThird(), instant.None); a.live.cfg.Generation != 2 { // with the configuration of before
			t.Errorf("applied to generation %d, want 2", a.live.cfg.Generation)
		}
		w.lives(2, 3)
	})
}

// A version that another generation computes has one content: another one is neither planned
// nor applied under it, the same one is.
func TestOneContentForAVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []byte(followFirst), small)
		r := w.besides(followSecond)
		other := parse(t, []byte(strings.Replace(followSecond, "'60d'", "'61d'", 1)))
		_, applied := Apply(t.Context(), w.cfg, other, w.deps(&plug{w: w}), instant.None)
		_, planned := PreviewOf(t.Context(), w.cfg, other, w.deps(&plug{w: w}), t.TempDir(), 1, func(int32, int32) {})
		for _, err := range []error{applied, planned} {
			if !errors.Is(err, ErrDefinitionChanged) || !strings.Contains(err.Error(), "generation 2 computes version 2") || !strings.Contains(err.Error(), "give it version 3") {
				t.Errorf("another content: %v, want ErrDefinitionChanged", err)
			}
		}
		w.lives(1, 1)
		w.awaitFollowing(w.apply(followSecond, instant.None), true)
		w.lives(1, 2)
		r.stop(t)
	})
}
