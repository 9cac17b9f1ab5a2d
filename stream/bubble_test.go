// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// bubbleTag makes the locks of the Kafka client channels. In a synctest bubble a
// goroutine that waits for a sync.Mutex stops the bubble's time, and a client that
// joins its group holds a lock for as long as the others take: without the tag a test
// stands still for ever once a commit meets a join.
const bubbleTag = "synctests"

// inBubbleBuild becomes this package's test binary built with bubbleTag, with the same
// arguments: nobody who types go test need know of the tag. It returns in that binary,
// and while fuzzing, which needs the instrumentation that go test built in.
func inBubbleBuild() {
	args := []string{"test", "-c", "-o", os.Args[0] + "." + bubbleTag}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch {
			case s.Key == "-tags" && slices.Contains(strings.Split(s.Value, ","), bubbleTag):
				return
			case s.Key == "-tags":
				args = append(args, "-tags", s.Value+","+bubbleTag)
			case s.Key == "-race" && s.Value == "true":
				args = append(args, "-race")
			}
		}
	}
	if slices.ContainsFunc(os.Args, func(a string) bool { return strings.HasPrefix(a, "-test.fuzz=") }) {
		return
	}
	if !slices.Contains(args, "-tags") {
		args = append(args, "-tags", bubbleTag)
	}
	if mode := testing.CoverMode(); mode != "" {
		args = append(args, "-covermode", mode)
	}
	build := exec.Command("go", append(args, ".")...)
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	err := build.Run()
	if err == nil {
		err = syscall.Exec(args[3], append([]string{args[3]}, os.Args[1:]...), os.Environ())
	}
	fmt.Fprintf(os.Stderr, "build these tests with -tags %s: %v\n", bubbleTag, err)
	os.Exit(1)
}
