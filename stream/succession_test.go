// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"lapwing/schemas/instant"
	"lapwing/schemas/topics"
)

// A definition follows the live one, and is rolled back: the changes and profiles are those
// of the oracle that knows when. Each change names its version. Copies of what was told to
// the lanes change nothing, nor does applying the same again.
func TestDefinitionFollows(t *testing.T) {
	messages, cuts, at, last := followStory(t, 400)
	for _, routed := range []bool{false, true} {
		t.Run(fmt.Sprintf("routed %v", routed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, []byte(followFirst), func(c *Config) {
					small(c)
					c.Wave = 3
					c.Inputs = []Input{{Topic: "events", Keyed: !routed}}
				})
				r := w.start(w.cfg)
				if routed {
					w.startRouter(w.cfg)
				}
				two, three := parse(t, []byte(followSecond)), parse(t, []byte(followThird()))
				w.produce("events", messages[:cuts[0]]...)
				w.end(at[0])
				w.wait(r, at[0])
				a := w.apply(followSecond, instant.None)
				w.again(topics.Mailbox)
				w.awaitFollowing(a, false)
				w.produce("events", messages[cuts[0]:cuts[1]]...)
				if err := a.Wait(t.Context(), func(Succeeding) {}); err != nil {
					t.Fatal(err)
				}
				if again := w.apply(followSecond, instant.None); again.Former != 2 || again.Version != 2 {
					t.Errorf("applied again: %+v", again)
				}
				w.end(at[1])
				w.wait(r, at[1])
				w.settledLanes(2)
				b := w.apply(followThird(), instant.None)
				w.again(topics.Mailbox)
				w.awaitFollowing(b, false)
				w.produce("events", messages[cuts[1]:]...)
				w.end(last)
				w.wait(r, last)
				r.stop(t)
				w.settledLanes(3)
				w.judgedUnder(messages, []followed{{two, cuts[0]}, {three, cuts[1]}}, last)
				w.campaignsFollowed()
			})
		})
	}
}

// A definition may follow before all customers have been brought over to the one before: they
// go through each. So do lanes that were away and read of both at once, also if the state is
// restored in between, on another disk.
func TestDefinitionsFollowEachOther(t *testing.T) {
	messages, cuts, at, last := followStory(t, 500)
	for _, away := range []bool{false, true} {
		t.Run(fmt.Sprintf("away %v", away), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, []byte(followFirst), func(c *Config) {
					small(c)
					c.Wave = 1
				})
				r := w.start(w.cfg)
				w.produce("events", messages[:cuts[0]]...)
				w.end(at[0])
				w.wait(r, at[0])
				if away {
					r.stop(t)
				}
				a := w.apply(followSecond, instant.None)
				if !away {
					w.awaitFollowing(a, false)
				}
				b := w.apply(followThird(), instant.None)
				if away {
					r = w.start(w.cfg)
				}
				w.awaitFollowing(b, false)
				r.kill()
				r = w.start(w.cfg)
				w.produce("events", messages[cuts[0]:]...)
				w.end(last)
				w.wait(r, last)
				r.stop(t)
				w.settledLanes(3)
				two, three := parse(t, []byte(followSecond)), parse(t, []byte(followThird()))
				w.judgedUnder(messages, []followed{{two, cuts[0]}, {three, cuts[0]}}, last)
			})
		})
	}
}

// Messages that wait under lateness wait on under the definition that follows, for as long as
// that says, or not at all.
func TestDefinitionFollowsWithLateness(t *testing.T) {
	messages, cuts, at, last := followStory(t, 500)
	late := func(source, lateness string) string {
		return strings.Replace(source, "\nevents:", "\nlateness: "+lateness+"\nevents:", 1)
	}
	synctest.Test(t, func(t *testing.T) {
		first, second, third := late(followFirst, "10d"), late(followSecond, "4d"), late(followThird(), "0s")
		w := newWorld(t, []byte(first), func(c *Config) {
			small(c)
			c.Wave = 3
		})
		r := w.start(w.cfg)
		follow := []followed{{parse(t, []byte(second)), cuts[0]}, {parse(t, []byte(third)), cuts[1]}}
		w.produce("events", messages[:cuts[0]]...)
		w.end(at[0])
		w.wait(r, at[0])
		a := w.apply(second, instant.None)
		w.awaitFollowing(a, false)
		w.produce("events", messages[cuts[0]:cuts[1]]...)
		w.awaitFollowing(a, true)
		w.end(at[1])
		w.wait(r, at[1])
		a = w.apply(third, instant.None)
		w.awaitFollowing(a, false)
		w.produce("events", messages[cuts[1]:]...)
		w.end(last)
		w.wait(r, last)
		r.stop(t)
		w.settledLanes(3)
		w.judgedUnder(messages, follow, last)
	})
}

// With an instant a lane follows when its clock comes there, also if that is after a
// restart, and the deadlines up to it are of the definition before.
func TestDefinitionFollowsAtAnInstant(t *testing.T) {
	messages, cuts, at, last := followStory(t, 700)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []byte(followFirst), small)
		r := w.start(w.cfg)
		w.produce("events", messages[:cuts[0]]...)
		w.end(at[0])
		w.wait(r, at[0])
		then := at[0].Add(20 * dayLength)
		a := w.apply(followSecond, then)
		time.Sleep(10 * time.Second)
		if err := a.live.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if now := a.progress(); now.Followed != 0 {
			t.Errorf("%d lanes follow before the time", now.Followed)
		}
		r.kill()
		r = w.start(w.cfg)
		w.end(then)
		w.wait(r, then)
		w.awaitFollowing(a, true)
		for lane, since := range w.since(2) {
			if since != then {
				t.Errorf("lane %d follows since %s, want %s", lane, since, then)
			}
		}
		w.produce("events", messages[cuts[1]:]...)
		w.end(last)
		w.wait(r, last)
		r.stop(t)
		told := slices.Concat(messages[:cuts[0]], messages[cuts[1]:])
		w.judgedUnder(told, []followed{{parse(t, []byte(followSecond)), cuts[0]}}, last)
	})
}

// A worker goes on with the live definition whatever its file says, and says so once: with
// an older file, with a newer one, and with nothing of the state on its disk.
func TestWorkersWithOtherFiles(t *testing.T) {
	messages, cuts, at, last := followStory(t, 700)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []byte(followFirst), small)
		first := w.def
		r := w.start(w.cfg)
		w.produce("events", messages[:cuts[0]]...)
		w.end(at[0])
		w.wait(r, at[0])
		a := w.apply(followSecond, instant.None)
		w.awaitFollowing(a, true)
		r.stop(t)
		for i, source := range []string{followFirst, followThird()} {
			logs := w.observe(zap.WarnLevel)
			w.def = parse(t, []byte(source))
			r = w.start(w.cfg)
			if i == 0 {
				w.produce("events", messages[cuts[0]:cuts[1]]...)
				w.end(at[1])
				w.wait(r, at[1])
			} else {
				w.produce("events", messages[cuts[1]:]...)
				w.end(last)
				w.wait(r, last)
			}
			r.stop(t)
			said := logs.FilterMessageSnippet("not the live definition").All()
			if len(said) != 1 || said[0].ContextMap()["definition_version"] != int64(2) || said[0].ContextMap()["file_version"] != w.def.Version {
				t.Errorf("version %d said %v", w.def.Version, said)
			}
		}
		w.def = first
		w.judgedUnder(messages, []followed{{parse(t, []byte(followSecond)), cuts[0]}}, last)
		w.def = parse(t, []byte(strings.Replace(followFirst, "name: shop", "name: other", 1)))
		if err := <-w.start(w.cfg).done; !errors.Is(err, ErrOtherDefinition) {
			t.Errorf("a file of another name: %v, want ErrOtherDefinition", err)
		}
	})
}

// What cannot follow is refused, with what to do, and nothing is written.
func TestApplyIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []byte(followSecond), nil)
		try := func(source string) error {
			_, err := Apply(t.Context(), w.cfg, parse(t, []byte(source)), w.deps(&plug{w: w}), instant.None)
			return err
		}
		if err := try(followSecond); !errors.Is(err, ErrNeverRan) {
			t.Errorf("nothing has run: %v", err)
		}
		r := w.start(w.cfg)
		time.Sleep(5 * time.Second)
		for _, c := range []struct {
			source string
			want   error
			says   string
		}{
			{strings.Replace(followSecond, "'60d'", "'61d'", 1), ErrDefinitionChanged, "give it version 3"},
			{followFirst, ErrOlderVersion, "give it version 3"},
			{strings.Replace(followThird(), "name: shop", "name: other", 1), ErrOtherDefinition, "computes shop, this is other"},
		} {
			if err := try(c.source); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v: %s", err, c.want, c.says)
			}
		}
		for _, rec := range w.all(topics.Mailbox) {
			t.Errorf("the mailbox has %s", rec.Value)
		}
		r.stop(t)
	})
}

// A lane that has had nothing to do until the definition changes keeps the former one, too:
// whoever gets it next, with the new file alone, can go on.
func TestLanesWithoutEventsKeepTheFormerDefinition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []byte(followFirst), nil)
		r := w.start(w.cfg)
		time.Sleep(20 * time.Second)
		w.awaitFollowing(w.apply(followSecond, instant.None), false)
		r.kill()
		w.def = parse(t, []byte(followSecond))
		time.Sleep(time.Minute) // the session of the static members times out
		r = w.start(w.cfg)
		time.Sleep(time.Minute)
		r.stop(t)
	})
}

// A definition that waits for its instant gives way to a newer one that is live earlier; by
// the wall clock it cannot be put beyond what anybody waits for.
func TestOneThatWaitsGivesWay(t *testing.T) {
	messages, cuts, at, last := followStory(t, 700)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []byte(followFirst), small)
		r := w.start(w.cfg)
		w.produce("events", messages[:cuts[0]]...)
		w.end(at[0])
		w.wait(r, at[0])
		w.apply(followSecond, at[0].Add(3650*dayLength))
		time.Sleep(10 * time.Second)
		w.awaitFollowing(w.apply(followThird(), instant.None), true)
		w.produce("events", messages[cuts[1]:]...)
		w.end(last)
		w.wait(r, last)
		r.stop(t)
		w.settledLanes(3)
		told := slices.Concat(messages[:cuts[0]], messages[cuts[1]:])
		w.judgedUnder(told, []followed{{parse(t, []byte(followThird())), cuts[0]}}, last)
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, []byte(followFirst), func(c *Config) { c.Clock = ClockWall })
		r := w.start(w.cfg)
		time.Sleep(10 * time.Second)
		now := instant.Of(w.now())
		for _, then := range []instant.Instant{now.Add(-time.Hour), now.Add(400 * dayLength)} {
			if _, err := Apply(t.Context(), w.cfg, parse(t, []byte(followSecond)), w.deps(&plug{w: w}), then); !errors.Is(err, ErrNotThen) {
				t.Errorf("at %s: %v", then, err)
			}
		}
		r.stop(t)
	})
}
