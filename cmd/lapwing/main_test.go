// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/testscript"

	"lapwing/deploy/embedded"
)

func TestMain(m *testing.M) {
	embedded.RunChild()
	testscript.Main(m, map[string]func(){"lapwing": main})
}

// TestScripts runs the commands as a user does: testdata/script/*.txtar.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("CI", os.Getenv("CI"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"compress": compress,
			"truncate": truncate,
		},
		// UPDATE_SCRIPTS=1 rewrites what cmp compares with; the difference is to be read.
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// exits runs a command that must end with the code: exits 2 lapwing …
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch got := 0; {
	case errors.As(err, &exit):
		got = exit.ExitCode()
		fallthrough
	case err == nil:
		if got != want {
			ts.Fatalf("%s ended with %d, not %d", strings.Join(args[1:], " "), got, want)
		}
	default:
		ts.Check(err)
	}
}

// compress writes a file again as .gz or .zst, by the name of the new one.
func compress(ts *testscript.TestScript, _ bool, args []string) {
	var packed bytes.Buffer
	var w io.WriteCloser
	var err error
	if strings.HasSuffix(args[1], ".gz") {
		w = gzip.NewWriter(&packed)
	} else {
		w, err = zstd.NewWriter(&packed)
		ts.Check(err)
	}
	_, err = w.Write([]byte(ts.ReadFile(args[0])))
	ts.Check(errors.Join(err, w.Close()))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), packed.Bytes(), 0o600))
}

// truncate cuts the last 20 bytes off a file.
func truncate(ts *testscript.TestScript, _ bool, args []string) {
	b := ts.ReadFile(args[0])
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(b[:len(b)-20]), 0o600))
}
