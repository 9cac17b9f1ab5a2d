// SPDX-License-Identifier: Apache-2.0

// Package store keeps on this side of the network what the changelogs of lanes hold,
// in one Pebble database per process, so that a restart need not read them again and
// states may be larger than memory.
//
//	s, err := store.Open("lapwing-state", store.Options{Memory: 256 << 20})
//	b := s.Batch(store.Lane{Generation: 1, Lane: 3})
//	b.Put('c', []byte("u1"), value)
//	b.SetDeadline(due, "u1")
//	err = b.Commit(store.Mark{NextOffset: 17})
//
// It may lag behind a changelog, by what its Mark says, and is thrown away without
// loss: so it has no write-ahead log. After a crash it is what it was at some earlier
// Commit of each lane, never a part of one. Of one lane only its holder calls
// anything; different lanes may be used at once.
package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"
)

// Lane names a lane of one generation.
type Lane struct {
	Generation uint32
	Lane       int32
}

// Errors that Open, Get, Each and Commit wrap.
var (
	// ErrCorrupt: what was read is not what was written. Wipe the store and restore.
	ErrCorrupt = errors.New("the local store is damaged")
	// ErrFailed: the store can no longer be written, as when the disk is full.
	ErrFailed = errors.New("the local store cannot be written")
)

// Options size a Store.
type Options struct {
	// Memory is how much the store may use for its caches and its write buffers, in
	// bytes. It lies outside the garbage collector's.
	Memory int64
	Log    *zap.Logger // nil: silent
	// FS is the file system; nil: the machine's, or memory if there is no folder.
	FS vfs.FS
}

// Store is one database. Safe for concurrent use by the holders of different lanes.
type Store struct {
	db     *pebble.DB
	recent recent
	dir    string
	failed atomic.Pointer[error] // the first failure of a background job
	broken chan struct{}         // closed by the first of them
}

const (
	// subfolder is all that Open ever deletes.
	subfolder = "pebble"
	// format is the version of the keys' layout; another one is started anew.
	format = 1

	minWriteBuffer = 4 << 20
	maxWriteBuffer = 64 << 20
)

var formatKey = []byte{0}

// Open opens the store in dir, in memory if dir is empty. A store that is damaged, or
// of another format, is deleted and started anew: it is restored from the changelogs.
func Open(dir string, o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	s, err := open(dir, o)
	if err == nil || dir == "" {
		return s, err
	}
	if unavailable(err) {
		return nil, fmt.Errorf("open the local store in %s: %w: free space, mend the rights or set another state_dir; each process needs its own", dir, err)
	}
	o.Log.Warn("the local store is damaged and is started anew, to be restored from the state topic", zap.String("dir", dir), zap.Error(err))
	fs := o.FS
	if fs == nil {
		fs = vfs.Default
	}
	if err := remove(fs, dir); err != nil {
		return nil, err
	}
	return open(dir, o)
}

// Remove deletes the store in dir.
func Remove(dir string) error {
	if dir == "" {
		return nil
	}
	return remove(vfs.Default, dir)
}

func remove(fs vfs.FS, dir string) error {
	if err := fs.RemoveAll(filepath.Join(dir, subfolder)); err != nil {
		return fmt.Errorf("delete the local store: %w", err)
	}
	return nil
}

// unavailable tells errors of the machine, which deleting the store would not mend.
func unavailable(err error) bool {
	for _, known := range []error{
		syscall.EAGAIN, syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.ENOSPC, syscall.EDQUOT,
		syscall.EMFILE, syscall.ENFILE, syscall.ENOTDIR, syscall.EIO,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

func open(dir string, o Options) (*Store, error) {
	s := &Store{dir: dir, broken: make(chan struct{})}
	fs := o.FS
	path := filepath.Join(dir, subfolder)
	if fs == nil {
		fs = vfs.Default
		if dir == "" {
			fs, path = vfs.NewMem(), subfolder
		}
	}
	if err := fs.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("create the local store's folder: %w", err)
	}
	writeBuffer := min(max(o.Memory/16, minWriteBuffer), maxWriteBuffer) // there may be three, of the allocator of C
	opts := &pebble.Options{
		FS: fs,
		// The changelog is the write-ahead log. Without one of its own the store goes
		// back to its last flush in a crash, which its marks tell.
		DisableWAL:                  true,
		FormatMajorVersion:          pebble.FormatNewest,
		CacheSize:                   max(o.Memory/8, 1<<20) + 2*writeBuffer, // the write buffers are taken from it
		MemTableSize:                uint64(writeBuffer),
		MemTableStopWritesThreshold: 2,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       24,
		MaxOpenFiles:                512,
		Logger:                      logger{o.Log},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { s.fail(err) },
			DataCorruption:  func(i pebble.DataCorruptionInfo) { s.fail(i.Details) },
		},
	}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10) // most customers of an import are new
		opts.Levels[i].BlockSize = 8 << 10
	}
	db, err := pebble.Open(path, opts)
	if err != nil {
		return nil, classify(err)
	}
	s.db, s.recent = db, newRecent(o.Memory/2)
	if err := s.checkFormat(); err != nil {
		_ = db.Close() // it is thrown away
		return nil, err
	}
	return s, nil
}

func (s *Store) checkFormat() error {
	value, closer, err := s.db.Get(formatKey)
	switch {
	case err == nil:
		found := append([]byte(nil), value...)
		if err := closer.Close(); err != nil {
			return classify(err)
		}
		if len(found) != 1 || found[0] != format {
			return fmt.Errorf("its format is %v, this version writes %d: %w", found, format, ErrCorrupt)
		}
	case !errors.Is(err, pebble.ErrNotFound):
		return classify(err)
	}
	return s.checkSequence()
}

// checkSequence writes the format and sees whether that is newer than all the tables. It
// is not if the manifest has lost the record behind its list of tables: then old values
// would hide new ones.
func (s *Store) checkSequence() error {
	batch := s.db.NewBatch()
	if err := batch.Set(formatKey, []byte{format}, nil); err != nil {
		return errors.Join(err, batch.Close())
	}
	if err := batch.Commit(pebble.NoSync); err != nil {
		return classify(err)
	}
	next := batch.SeqNum()
	if err := batch.Close(); err != nil {
		return classify(err)
	}
	levels, err := s.db.SSTables()
	if err != nil {
		return classify(err)
	}
	for _, level := range levels {
		for i := range level {
			if newest := level[i].LargestSeqNum; newest >= next {
				return fmt.Errorf("table %s has changes up to %d, the store's next is %d: %w", level[i].FileNum, newest, next, ErrCorrupt)
			}
		}
	}
	return nil
}

// Close writes everything to disk and closes the store.
func (s *Store) Close() error {
	s.recent.clear()
	err := s.Err()
	if err == nil {
		err = s.flush()
	}
	if e := s.db.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("close the local store: %w", classify(err))
	}
	return nil
}

// flush writes what is in memory to disk. Pebble tries a flush that fails again and
// again, as long as the disk is full: we do not wait for that.
func (s *Store) flush() error {
	flushed, err := s.db.AsyncFlush()
	if err != nil {
		return err
	}
	select {
	case <-flushed:
		return nil
	case <-s.broken:
		return s.Err()
	}
}

// Flush begins to write what is in memory to disk, so that a crash loses less.
func (s *Store) Flush() error {
	if err := s.Err(); err != nil {
		return err
	}
	if _, err := s.db.AsyncFlush(); err != nil {
		return classify(err)
	}
	return nil
}

// DiskBytes is how much room the store takes on disk.
func (s *Store) DiskBytes() uint64 { return s.db.Metrics().DiskSpaceUsage() }

// Err is the first failure of a background job. From then on nothing is sure to reach
// the disk.
func (s *Store) Err() error {
	if err := s.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (s *Store) fail(err error) {
	err = classify(err)
	if !errors.Is(err, ErrCorrupt) {
		err = fmt.Errorf("%w: %w: free space or set another state_dir", ErrFailed, err)
	}
	if s.failed.CompareAndSwap(nil, &err) {
		close(s.broken)
	}
}

func classify(err error) error {
	if err == nil {
		return nil
	}
	if pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

// logger takes what Pebble has to say. A failed write it holds to be fatal is one that
// the changelog makes good: the caller of Commit gets it as a panic, and returns it.
type logger struct{ log *zap.Logger }

type fatal struct{ text string }

func (l logger) Infof(format string, args ...any) {
	l.log.Debug("local store", zap.String("says", fmt.Sprintf(format, args...)))
}

func (l logger) Errorf(format string, args ...any) {
	l.log.Warn("local store", zap.String("says", fmt.Sprintf(format, args...)))
}

func (l logger) Fatalf(format string, args ...any) { panic(fatal{fmt.Sprintf(format, args...)}) }

// The layout of keys: generation and lane (4 bytes each, big endian), then a kind, so
// that a lane is one range.
//
//	'p'                     the lane's Mark
//	'd' due (8 bytes) id    a deadline, without a value
//	any other kind  id      a record of the changelog
const (
	kindMark     = 'p'
	kindDeadline = 'd'
	kindAt       = 1 + 4 + 4
)

func appendPrefix(dst []byte, lane Lane) []byte {
	dst = append(dst, 'l')
	dst = binary.BigEndian.AppendUint32(dst, lane.Generation)
	return binary.BigEndian.AppendUint32(dst, uint32(lane.Lane))
}

func appendKey(dst []byte, lane Lane, kind byte, id []byte) []byte {
	return append(append(appendPrefix(dst, lane), kind), id...)
}

// after is the first key behind all that begin with prefix.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
