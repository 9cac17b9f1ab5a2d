// SPDX-License-Identifier: Apache-2.0

package chdblib

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var library = []byte(strings.Repeat("not really a library\n", 5000))

// tarball is an npm package that holds the library; tail stands behind the archive.
func tarball(t *testing.T, tail string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, f := range []struct {
		name    string
		content []byte
	}{{"package/package.json", []byte("{}")}, {member, library}, {"package/index.js", nil}} {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes(), tail...)
}

func integrityOf(b []byte) string {
	digest := sha512.Sum512(b)
	return "sha512-" + base64.StdEncoding.EncodeToString(digest[:])
}

// registry serves one tarball and what npm would say about it.
type registry struct {
	*httptest.Server
	tarball     []byte
	description string
	downloads   atomic.Int32
	wantAuth    string
	held        chan struct{} // if set, a download stands still after its first bytes, and says so here
}

func newRegistry(t *testing.T, content []byte) *registry {
	t.Helper()
	r := &registry{tarball: content}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != r.wantAuth {
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		switch req.URL.Path {
		case "/npm/@scope/lib/-/lib-1.2.3.tgz":
			r.downloads.Add(1)
			if r.held != nil {
				w.Header().Set("Content-Length", fmt.Sprint(len(r.tarball)))
				_, _ = w.Write(r.tarball[:10])
				w.(http.Flusher).Flush()
				r.held <- struct{}{}
				<-req.Context().Done()
				return
			}
			_, _ = w.Write(r.tarball)
		case "/npm/@scope/lib/1.2.3":
			_, _ = io.WriteString(w, r.description)
		default:
			http.NotFound(w, req)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// newTestFetcher wants the tarball, and knows the registry from the environment.
func newTestFetcher(t *testing.T, r *registry, wanted []byte) (*fetcher, *strings.Builder) {
	t.Helper()
	said := &strings.Builder{}
	sum := sha256.Sum256(library)
	f := &fetcher{
		release: release{scope: "@scope", name: "lib", version: "1.2.3", integrity: integrityOf(wanted), librarySHA256: hex.EncodeToString(sum[:]), libraryBytes: int64(len(library))},
		cache:   filepath.Join(t.TempDir(), "cache"), workDir: t.TempDir(), homeDir: t.TempDir(),
		client: http.DefaultClient, stall: time.Minute, progress: said,
		npm: func(context.Context, ...string) (string, error) { return "", errors.New("no npm here") },
	}
	if r != nil {
		f.environ = []string{"npm_config_registry=" + r.URL + "/npm/"}
	}
	return f, said
}

// leftovers are the files of the cache, without the lock.
func leftovers(t *testing.T, f *fetcher) (names []string) {
	t.Helper()
	err := filepath.WalkDir(f.cache, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "lock" {
			names = append(names, d.Name())
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return names
}

func TestFetchesOnceAndAnnouncesIt(t *testing.T) {
	content := tarball(t, "")
	r := newRegistry(t, content)
	f, said := newTestFetcher(t, r, content)
	path, err := f.ensure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, library) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if lines := strings.Split(strings.TrimSpace(said.String()), "\n"); len(lines) != 2 || !strings.Contains(lines[0], "fetching the ClickHouse engine once") {
		t.Errorf("said %q", lines)
	}
	said.Reset()
	again, err := f.ensure(t.Context())
	if err != nil || again != path || r.downloads.Load() != 1 || said.Len() > 0 {
		t.Errorf("%s, %v, %d downloads, said %q", again, err, r.downloads.Load(), said)
	}
	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ensure(t.Context()); err != nil || r.downloads.Load() != 2 {
		t.Errorf("a cut file in the cache: %v, %d downloads", err, r.downloads.Load())
	}
}

func TestRefusesWhatIsNotPinnedAndLeavesNothing(t *testing.T) {
	good := tarball(t, "")
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	for name, content := range map[string][]byte{
		"a flipped bit":             flipped,
		"a byte behind the archive": tarball(t, "x"),
		"half of it":                good[:len(good)/2],
		"nothing":                   {},
		"no archive":                []byte("<html>please log in</html>"),
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := newTestFetcher(t, newRegistry(t, content), good)
			if _, err := f.ensure(t.Context()); !errors.Is(err, ErrDigest) {
				t.Errorf("want ErrDigest, have %v", err)
			}
			if names := leftovers(t, f); names != nil {
				t.Errorf("left behind: %v", names)
			}
		})
	}
	t.Run("a package without the library", func(t *testing.T) {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if err := errors.Join(tar.NewWriter(z).Close(), z.Close()); err != nil {
			t.Fatal(err)
		}
		f, _ := newTestFetcher(t, newRegistry(t, b.Bytes()), b.Bytes())
		if _, err := f.ensure(t.Context()); err == nil || !strings.Contains(err.Error(), member) {
			t.Error(err)
		}
		if names := leftovers(t, f); names != nil {
			t.Errorf("left behind: %v", names)
		}
	})
}

func TestAPlatformWithoutAPinTakesTheRegistrysDigest(t *testing.T) {
	content := tarball(t, "")
	for description, wanted := range map[string]error{
		`{"dist":{"integrity":"` + integrityOf(content) + `"}}`:     nil,
		`{"dist":{"integrity":"` + integrityOf([]byte("x")) + `"}}`: ErrDigest,
		`{"dist":{"shasum":"abc"}}`:                                 ErrDigest,
	} {
		r := newRegistry(t, content)
		r.description = description
		f, said := newTestFetcher(t, r, content)
		f.release.integrity, f.release.librarySHA256, f.release.libraryBytes = "", "", 0
		if _, err := f.ensure(t.Context()); !errors.Is(err, wanted) {
			t.Errorf("%s: %v", description, err)
		}
		if wanted == nil && !strings.Contains(said.String(), "not pinned") {
			t.Errorf("said %q", said)
		}
	}
}

func TestOneProcessFetchesWhileTheOthersWait(t *testing.T) {
	content := tarball(t, "")
	r := newRegistry(t, content)
	first, _ := newTestFetcher(t, r, content)
	var all sync.WaitGroup
	for range 8 {
		f := *first // its own lock on the same folder, as another process has it
		f.progress = io.Discard
		all.Go(func() {
			if _, err := f.ensure(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := r.downloads.Load(); n != 1 {
		t.Errorf("%d downloads", n)
	}
}

func TestEndsWhenItIsToldToOrNothingComes(t *testing.T) {
	content := tarball(t, "")
	r := newRegistry(t, content)
	r.held = make(chan struct{}, 2)
	t.Run("stalled", func(t *testing.T) {
		f, _ := newTestFetcher(t, r, content)
		f.stall = 50 * time.Millisecond
		if _, err := f.ensure(t.Context()); !errors.Is(err, errStalled) {
			t.Error(err)
		}
		<-r.held
		if names := leftovers(t, f); names != nil {
			t.Errorf("left behind: %v", names)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		f, _ := newTestFetcher(t, r, content)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			<-r.held
			cancel()
		}()
		if _, err := f.ensure(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestInstalledPackageIsTakenIfItIsTheOne(t *testing.T) {
	content := tarball(t, "")
	r := newRegistry(t, content)
	install := func(dir string, b []byte) {
		t.Helper()
		dir = filepath.Join(dir, "node_modules", "@scope", "lib")
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "libchdb.so"), b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	f, _ := newTestFetcher(t, r, content)
	root := f.workDir
	f.workDir = filepath.Join(root, "a", "b")
	install(f.workDir, []byte("anyone's"))
	install(root, library)
	path, err := f.ensure(t.Context())
	if err != nil || r.downloads.Load() != 0 {
		t.Fatalf("%v, %d downloads", err, r.downloads.Load())
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, library) || !strings.HasPrefix(path, f.cache) {
		t.Errorf("%s: %d bytes, %v", path, len(got), err)
	}
	if names := leftovers(t, f); len(names) != 1 {
		t.Errorf("in the cache: %v", names)
	}
}

func TestWhereTheRegistryIsLookedFor(t *testing.T) {
	content := tarball(t, "")
	r := newRegistry(t, content)
	here, nowhere := r.URL+"/npm", "http://127.0.0.1:1/"
	write := func(dir, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, ".npmrc"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, set := range map[string]func(*fetcher){
		"environment": func(f *fetcher) {
			f.environ = []string{"NPM_CONFIG_REGISTRY=" + here}
			write(f.homeDir, "registry="+nowhere)
		},
		"environment's scope": func(f *fetcher) {
			f.environ = []string{"npm_config_@scope:registry=" + here, "npm_config_registry=" + nowhere}
		},
		"project": func(f *fetcher) { write(f.workDir, "registry="+here); write(f.homeDir, "registry="+nowhere) },
		"user's scope": func(f *fetcher) {
			write(f.homeDir, "; a comment\n@scope:registry = \"${WHERE}/\"\nregistry="+nowhere)
			f.environ = []string{"WHERE=" + here}
		},
		"global": func(f *fetcher) {
			global := filepath.Join(t.TempDir(), "npmrc")
			if err := os.WriteFile(global, []byte("registry="+here), 0o600); err != nil {
				t.Fatal(err)
			}
			f.environ = []string{"npm_config_globalconfig=" + global}
		},
		"npm itself": func(f *fetcher) {
			f.npm = func(_ context.Context, args ...string) (string, error) {
				if strings.Join(args, " ") != "config get registry" {
					t.Error(args)
				}
				return here + "/", nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := newTestFetcher(t, nil, content)
			set(f)
			if _, err := f.ensure(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("nowhere", func(t *testing.T) {
		f, _ := newTestFetcher(t, nil, content)
		_, err := f.ensure(t.Context())
		if !errors.Is(err, ErrNoRegistry) || !strings.Contains(err.Error(), "npm_config_registry") || !strings.Contains(err.Error(), "LIBCHDB") {
			t.Error(err)
		}
	})
	t.Run("no address", func(t *testing.T) {
		f, _ := newTestFetcher(t, nil, content)
		f.environ = []string{"npm_config_registry=here"}
		if _, err := f.ensure(t.Context()); err == nil || !strings.Contains(err.Error(), `"here"`) {
			t.Error(err)
		}
	})
	t.Run("a registry with a password", func(t *testing.T) {
		r := newRegistry(t, content)
		r.wantAuth = "Bearer s3cret"
		f, said := newTestFetcher(t, r, content)
		if _, err := f.ensure(t.Context()); err == nil || !strings.Contains(err.Error(), "401") {
			t.Error(err)
		}
		f.environ = append(f.environ, "TOKEN=s3cret")
		write(f.homeDir, strings.TrimPrefix(r.URL, "http:")+"/npm/:_authToken=${TOKEN}\n")
		if _, err := f.ensure(t.Context()); err != nil || strings.Contains(said.String(), "s3cret") {
			t.Errorf("%v, said %q", err, said)
		}
	})
}

func TestLIBCHDBIsTakenAsItIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mine.so")
	t.Setenv("LIBCHDB", path)
	if _, err := Ensure(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "LIBCHDB") {
		t.Errorf("a missing file: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Ensure(t.Context(), nil); err != nil || got != path {
		t.Error(got, err)
	}
}

func TestReleases(t *testing.T) {
	folders := map[string]bool{}
	for _, platform := range [][2]string{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}} {
		r, err := releaseFor(platform[0], platform[1])
		if err != nil || r.name == "" || !strings.HasPrefix(r.folder(), Version+"-") {
			t.Errorf("%v: %+v, %v", platform, r, err)
		}
		folders[r.folder()] = true
	}
	if len(folders) != 4 {
		t.Errorf("platforms share a folder: %v", folders)
	}
	if _, err := releaseFor("plan9", "amd64"); !errors.Is(err, ErrPlatform) {
		t.Error(err)
	}
}
