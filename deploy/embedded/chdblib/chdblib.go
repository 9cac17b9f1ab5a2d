// SPDX-License-Identifier: Apache-2.0

// Package chdblib provides the embedded ClickHouse engine's shared library: it
// finds it on this machine, or fetches it once from the npm registry.
//
//	path, err := chdblib.Ensure(ctx, os.Stderr)
//
// Ensure looks, in this order, at
//  1. the file that the environment variable LIBCHDB names, taken as it is;
//  2. the user's cache folder, by release and digest;
//  3. an installed npm package in a node_modules folder here or above, copied
//     to the cache if its digest is the pinned one;
//  4. the npm registry that the environment or .npmrc names, or else that the
//     npm client says it uses.
//
// What enters the cache by way of the network has the digest that is pinned in
// this package's source for the platform; where none is pinned, the digest that
// the registry states for that release, and this is announced. A file appears in
// the cache whole or not at all, and of several processes one fetches while the
// others wait. No npm client is needed if the registry is named.
package chdblib

import (
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"lapwing/deploy/embedded/internal/filelock"
)

// Version is the release of the npm packages that the fronts are tested with.
const Version = "26.7.3-stable.1"

// ErrNoRegistry means that nothing says where npm packages come from.
var ErrNoRegistry = errors.New("no npm registry is known: set the environment variable npm_config_registry to its address, or install npm, " +
	"or set LIBCHDB to a libchdb.so of release " + Version)

// ErrPlatform means that there is no library for this system.
var ErrPlatform = errors.New("the embedded ClickHouse runs on Linux (glibc) and macOS, on x86-64 and arm64, only: use a ClickHouse server, or set LIBCHDB to a library for this system")

// release is an npm package that holds the library for one platform.
type release struct {
	scope, name, version string
	integrity            string // "sha512-…" over the tarball, as npm writes it; "" if not pinned
	librarySHA256        string // hex, over the file in it; "" if not pinned
	libraryBytes         int64  // of the file; 0 if not known
}

// member is the library's path in the tarball, on every platform.
const member = "package/libchdb.so"

// releaseFor names the package for a platform. Only the digests that could be
// computed from a tarball at hand are pinned.
func releaseFor(goos, goarch string) (release, error) {
	r := release{scope: "@chdb", version: Version}
	switch goos + "/" + goarch {
	case "linux/amd64":
		r.name = "lib-linux-x64-gnu"
		r.integrity = "sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw=="
		r.librarySHA256 = "36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5"
		r.libraryBytes = 566_330_096
	case "linux/arm64":
		r.name = "lib-linux-arm64-gnu"
	case "darwin/arm64":
		r.name = "lib-darwin-arm64"
	case "darwin/amd64":
		r.name = "lib-darwin-x64"
	default:
		return release{}, ErrPlatform
	}
	return r, nil
}

// folder is the cache folder's name for the release.
func (r release) folder() string {
	digest, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.integrity, "sha512-"))
	if err != nil || len(digest) != sha512.Size {
		return r.version + "-" + r.name
	}
	return r.version + "-" + hex.EncodeToString(digest[:6])
}

// Ensure returns the path of the library, fetching it if it is nowhere (178 MB
// to load, 566 MB on the disk). What takes long is announced on progress, with a
// bar if that is a terminal; nil for none. It may be called by any number of
// processes at once.
func Ensure(ctx context.Context, progress io.Writer) (string, error) {
	if path := os.Getenv("LIBCHDB"); path != "" {
		path, err := filepath.Abs(path)
		if err == nil {
			_, err = os.Stat(path) //nolint:gosec // G703: the user names the library
		}
		if err != nil {
			return "", fmt.Errorf("use the library that LIBCHDB names: %w", err)
		}
		return path, nil
	}
	f, err := newFetcher(progress)
	if err != nil {
		return "", err
	}
	return f.ensure(ctx)
}

// fetcher is Ensure with all that it takes from its surroundings.
type fetcher struct {
	release  release
	cache    string // folder of all releases
	workDir  string // where node_modules and the project's .npmrc are looked for
	homeDir  string
	environ  []string
	client   *http.Client
	npm      func(ctx context.Context, args ...string) (string, error)
	stall    time.Duration // a download that stands still for so long has failed
	progress io.Writer
}

func newFetcher(progress io.Writer) (*fetcher, error) {
	rel, err := releaseFor(runtime.GOOS, runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("find the user's cache folder: %w", err)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, fmt.Errorf("find the user's home folder: %w", err)
	}
	work, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find the working folder: %w", err)
	}
	if progress == nil {
		progress = io.Discard
	}
	return &fetcher{
		release: rel, cache: filepath.Join(cache, "lapwing", "libchdb"), workDir: work, homeDir: home, environ: os.Environ(),
		client: http.DefaultClient, npm: runNPM, stall: time.Minute, progress: progress, // the default client heeds proxies and SSL_CERT_FILE
	}, nil
}

func runNPM(ctx context.Context, args ...string) (string, error) {
	path, err := exec.LookPath("npm")
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, path, args...).Output() //nolint:gosec // G204: found on the PATH by a fixed name; our own arguments
	return strings.TrimSpace(string(out)), err
}

// ensure finds or fetches the library; see the package comment for the order.
func (f *fetcher) ensure(ctx context.Context) (_ string, err error) {
	dir := filepath.Join(f.cache, f.release.folder())
	path := filepath.Join(dir, "libchdb.so")
	if f.isCached(path) {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // a shared library is nothing secret
		return "", fmt.Errorf("make the library's folder: %w", err)
	}
	lock, err := f.lock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return "", fmt.Errorf("lock the library's folder: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	if f.isCached(path) { // by the one that held the lock
		return path, nil
	}
	if found, err := f.fromNodeModules(path); err != nil || found {
		return path, err
	}
	if err := f.download(ctx, path); err != nil {
		return "", fmt.Errorf("fetch the embedded ClickHouse engine: %w", err)
	}
	return path, nil
}

// lock waits for the one process that fetches, if there is one.
func (f *fetcher) lock(ctx context.Context, path string) (*filelock.Lock, error) {
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for first := true; ; first = false {
		lock, err := filelock.TryAcquire(path)
		if !errors.Is(err, filelock.ErrHeld) {
			return lock, err
		}
		if first {
			f.announce("another process is fetching the ClickHouse engine, waiting for it\n")
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// isCached tells whether the library is there. Files get their name only when
// they are whole, so the size is looked at for a disk that lost something.
func (f *fetcher) isCached(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Size() > 0 && (f.release.libraryBytes == 0 || info.Size() == f.release.libraryBytes)
}

// announce writes to a person; that it cannot be written is no failure.
func (f *fetcher) announce(format string, args ...any) {
	_, _ = fmt.Fprintf(f.progress, format, args...)
}
