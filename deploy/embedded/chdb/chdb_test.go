// SPDX-License-Identifier: Apache-2.0

//go:build !noembedded && (linux || darwin) && (amd64 || arm64)

package chdb_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"lapwing/deploy/embedded/chdb"
	"lapwing/deploy/embedded/chdblib"
)

// open loads the engine into this test process: once, as it is never unloaded.
func open(t *testing.T) (*chdb.Library, *chdb.Conn) {
	t.Helper()
	path, err := chdblib.Ensure(t.Context(), os.Stderr)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	lib, err := chdb.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := lib.Connect("--path=" + t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if err := conn.Exec("CREATE DATABASE d ENGINE = Atomic"); err != nil {
		t.Fatal(err)
	}
	if err := conn.Exec("USE d"); err != nil {
		t.Fatal(err)
	}
	return lib, conn
}

func query(t *testing.T, conn *chdb.Conn, sql string, params map[string]string) string {
	t.Helper()
	res, err := conn.Query(sql, "TabSeparated", params)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Free()
	return string(res.Bytes())
}

func TestLoadRefusesWhatIsNoLibrary(t *testing.T) {
	if _, err := chdb.Load(t.TempDir() + "/nothing.so"); err == nil {
		t.Fatal("loaded")
	}
}

func TestEngine(t *testing.T) {
	lib, conn := open(t)
	if !strings.HasPrefix(lib.Version(), "26.7") {
		t.Errorf("version %s", lib.Version())
	}
	t.Run("parameters are bytes, NUL and quotes too", func(t *testing.T) {
		got := query(t, conn, "SELECT {a:String}, {b:UInt8} + 1", map[string]string{"a": "it's\\0!", "b": "4"})
		if got != "it\\'s\\0!\t5\n" {
			t.Errorf("%q", got)
		}
	})
	t.Run("errors carry their code", func(t *testing.T) {
		var e *chdb.Error
		if _, err := conn.Query("SELECT * FROM nope", "Null", nil); !errors.As(err, &e) || !strings.HasPrefix(e.Message, "Code: 60. ") {
			t.Error(err)
		}
		if _, err := conn.Stream("DROP TABLE nope", "Native", nil); !errors.As(err, &e) {
			t.Error(err)
		}
		if _, err := conn.Insert("INSERT INTO nope", "CSV", nil); !errors.As(err, &e) {
			t.Error(err)
		}
	})
	t.Run("a stream comes in pieces", func(t *testing.T) {
		s, err := conn.Stream("SELECT number FROM numbers(100000) SETTINGS max_block_size = 10000", "TabSeparated", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Free()
		lines, pieces := 0, 0
		for {
			res, err := s.Next()
			if err != nil {
				t.Fatal(err)
			}
			if res == nil {
				break
			}
			lines += strings.Count(string(res.Bytes()), "\n")
			pieces++
			res.Free()
			res.Free() // does nothing
		}
		if lines != 100000 || pieces < 2 {
			t.Errorf("%d lines in %d pieces", lines, pieces)
		}
	})
	t.Run("an insert is stored by Finish and by nothing else", func(t *testing.T) {
		if err := conn.Exec("CREATE TABLE t (a UInt8, s String) ENGINE = MergeTree ORDER BY a"); err != nil {
			t.Fatal(err)
		}
		for _, end := range []func(*chdb.Insert) error{
			func(i *chdb.Insert) error { i.Cancel(); return nil },
			func(*chdb.Insert) error { return nil }, // only freed
			func(i *chdb.Insert) error {
				if _, err := i.Finish(); err == nil {
					return errors.New("half a row was taken")
				}
				return nil
			},
		} {
			in, err := conn.Insert("INSERT INTO t (a, s)", "CSV", nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := in.Append([]byte("1,one\n2")); err != nil {
				t.Fatal(err)
			}
			if err := end(in); err != nil {
				t.Error(err)
			}
			in.Free()
			if n := query(t, conn, "SELECT count() FROM t", nil); n != "0\n" {
				t.Fatalf("%s rows", n)
			}
		}
		in, err := conn.Insert("INSERT INTO t (a, s)", "CSV", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Free()
		for _, piece := range []string{"1,o", "ne\n2,", "", "two"} {
			if err := in.Append([]byte(piece)); err != nil {
				t.Fatal(err)
			}
		}
		if counts, err := in.Finish(); err != nil || counts.WrittenRows != 2 {
			t.Fatal(counts, err)
		}
		if got := query(t, conn, "SELECT groupArray((a, s)) FROM t", nil); got != "[(1,'one'),(2,'two')]\n" {
			t.Error(got)
		}
	})
	t.Run("a nil dereference in Go is still a panic", func(t *testing.T) {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		var nothing *chdb.Conn
		nothing.Close()
	})
}
