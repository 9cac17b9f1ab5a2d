// SPDX-License-Identifier: Apache-2.0

package chdblib

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// ErrDigest means that what came is not what was pinned.
var ErrDigest = errors.New("the digest does not match")

var errStalled = errors.New("the registry sends no more data")

// download fetches the tarball and puts the library at path, once every byte of
// the tarball has been hashed and the digest is right.
func (f *fetcher) download(ctx context.Context, path string) error {
	config, err := f.npmConfig()
	if err != nil {
		return err
	}
	registry, err := f.registry(ctx, config)
	if err != nil {
		return err
	}
	authorization := config.authorization(registry)
	rel := f.release
	if rel.integrity == "" {
		if rel.integrity, err = f.statedIntegrity(ctx, registry, authorization); err != nil {
			return err
		}
		f.announce("the digest of %s/%s is not pinned: taking the one that the registry states\n", rel.scope, rel.name)
	}
	if err := checkSpace(filepath.Dir(path), rel.libraryBytes); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := time.AfterFunc(f.stall, func() { cancel(errStalled) })
	defer stalled.Stop()

	tarball := registry.JoinPath(rel.scope, rel.name, "-", rel.name+"-"+rel.version+".tgz")
	res, err := f.get(ctx, tarball, authorization)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }() // it was only read
	start := time.Now()
	f.announce("fetching the ClickHouse engine once (libchdb %s, %d MB, from %s) into %s\n", rel.version, res.ContentLength/1_000_000, registry.Host, filepath.Dir(path))
	bar := f.bar(res.ContentLength)
	body := &watchedReader{r: res.Body, read: func(n int) {
		stalled.Reset(f.stall)
		_ = bar.Add(n) // a bar that cannot be drawn is no failure
	}}
	if err := install(body, rel.integrity, path); err != nil {
		_ = bar.Exit()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return fmt.Errorf("%s: %w", tarball.Redacted(), err)
	}
	_ = bar.Finish()
	f.announce("the ClickHouse engine is there, after %v\n", time.Since(start).Round(100*time.Millisecond))
	return nil
}

// statedIntegrity asks the registry for the digest of the release.
func (f *fetcher) statedIntegrity(ctx context.Context, registry *url.URL, authorization string) (string, error) {
	res, err := f.get(ctx, registry.JoinPath(f.release.scope+"/"+f.release.name, f.release.version), authorization)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }() // it was only read
	var meta struct {
		Dist struct{ Integrity string }
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&meta); err != nil {
		return "", fmt.Errorf("read the package's description: %w", err)
	}
	if !strings.HasPrefix(meta.Dist.Integrity, "sha512-") {
		return "", fmt.Errorf("%w: the registry states none", ErrDigest)
	}
	return meta.Dist.Integrity, nil
}

func (f *fetcher) get(ctx context.Context, address *url.URL, authorization string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask the registry: %w", err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	res, err := f.client.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("ask the registry: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		_ = res.Body.Close()
		return nil, fmt.Errorf("%s answers %s: check the registry that npm_config_registry or .npmrc names, or set LIBCHDB", address.Redacted(), res.Status)
	}
	return res, nil
}

// bar shows how far the download is if a person is looking on.
func (f *fetcher) bar(total int64) *progressbar.ProgressBar {
	file, ok := f.progress.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return progressbar.DefaultBytesSilent(total)
	}
	return progressbar.NewOptions64(total, progressbar.OptionSetWriter(file), progressbar.OptionShowBytes(true),
		progressbar.OptionSetWidth(40), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
}

// watchedReader tells of each piece that arrives.
type watchedReader struct {
	r    io.Reader
	read func(n int)
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if n > 0 {
		w.read(n)
	}
	return n, err
}

// install unpacks the library from a tarball to path. Nothing is left behind
// unless the whole tarball has the digest.
func install(tarball io.Reader, integrity, path string) error {
	return writeWhole(path, func(file io.Writer) error {
		digest := sha512.New()
		hashed := io.TeeReader(tarball, digest)
		found, unpackErr := unpack(hashed, file)
		if _, err := io.Copy(io.Discard, hashed); err != nil { // the digest covers what stands behind the archive too
			return fmt.Errorf("read the tarball: %w", err)
		}
		// The digest is looked at first: a tarball that someone changed may well be unreadable too.
		if got := "sha512-" + base64.StdEncoding.EncodeToString(digest.Sum(nil)); got != integrity {
			return fmt.Errorf("%w: the tarball has %s, wanted is %s", ErrDigest, got, integrity)
		}
		if unpackErr != nil {
			return fmt.Errorf("unpack the tarball: %w", unpackErr)
		}
		if !found {
			return fmt.Errorf("unpack the tarball: it has no %s", member)
		}
		return nil
	})
}

// unpack copies the library out of a gzipped tar archive.
func unpack(r io.Reader, library io.Writer) (found bool, err error) {
	z, err := gzip.NewReader(bufio.NewReaderSize(r, 1<<20))
	if err != nil {
		return false, err
	}
	archive := tar.NewReader(z)
	for {
		entry, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return found, err
		}
		if entry.Name == member && !found {
			if _, err := io.Copy(library, archive); err != nil { //nolint:gosec // the digest tells afterwards whose bytes they were; the disk is the bound
				return found, err
			}
			found = true
		}
	}
}

// writeWhole lets fill write a file beside path and gives it that name only if
// all went well; else the file is removed.
func writeWhole(path string, fill func(io.Writer) error) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), ".libchdb-*")
	if err != nil {
		return fmt.Errorf("write the library: %w", err)
	}
	defer func() {
		if err != nil {
			_ = file.Close()
			_ = os.Remove(file.Name())
		}
	}()
	if err := fill(file); err != nil {
		return err
	}
	if err := errors.Join(file.Chmod(0o755), file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write the library: %w", err)
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return fmt.Errorf("write the library: %w", err)
	}
	return nil
}

// fromNodeModules copies an installed package's library to path. Only one with
// the pinned digest is taken: such a folder may be anyone's.
func (f *fetcher) fromNodeModules(path string) (found bool, err error) {
	if f.release.librarySHA256 == "" {
		return false, nil
	}
	for dir := f.workDir; ; dir = filepath.Dir(dir) {
		candidate := filepath.Join(dir, "node_modules", f.release.scope, f.release.name, "libchdb.so")
		if source, err := os.Open(candidate); err == nil { //nolint:gosec // G304: a node_modules folder at or above the working folder; only the pinned digest is taken
			err := f.copyPinned(source, path)
			_ = source.Close()
			if !errors.Is(err, ErrDigest) { // another release's file is passed over
				return err == nil, err
			}
		}
		if dir == filepath.Dir(dir) {
			return false, nil
		}
	}
}

func (f *fetcher) copyPinned(source io.Reader, path string) error {
	return writeWhole(path, func(file io.Writer) error {
		digest := sha256.New()
		if _, err := io.Copy(io.MultiWriter(file, digest), source); err != nil {
			return fmt.Errorf("copy the library: %w", err)
		}
		if hex.EncodeToString(digest.Sum(nil)) != f.release.librarySHA256 {
			return ErrDigest
		}
		return nil
	})
}
