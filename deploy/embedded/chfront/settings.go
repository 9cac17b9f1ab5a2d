// SPDX-License-Identifier: Apache-2.0

//go:build !noembedded && (linux || darwin) && (amd64 || arm64)

package chfront

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"lapwing/deploy/embedded/chdb"
)

// setting is one that comes with a statement and holds for it alone.
type setting struct{ name, value string }

// tagSetting carries the mark of a statement that kill looks for. A client's
// own value for it has no use here: the engine keeps no query log.
const tagSetting = "log_comment"

// applySettings sets a statement's settings, and its tag, for a session. undo,
// which the caller calls in any case when the session goes on, puts back what
// was: the session's own values if it has some (sessionHasOwn), else defaults.
func applySettings(conn *chdb.Conn, tag string, settings []setting, sessionHasOwn bool) (undo func() error, err error) {
	set := []string{tagSetting + " = " + quote(tag)}
	var names, back []string
	for _, s := range settings {
		if s.name == tagSetting {
			continue
		}
		set = append(set, identifier(s.name)+" = "+quote(s.value))
		names = append(names, s.name)
	}
	undo = func() error {
		if len(back) == 0 {
			return nil
		}
		return conn.Exec("SET " + strings.Join(back, ", "))
	}
	before := map[string]string{}
	if sessionHasOwn && len(names) > 0 {
		if before, err = changedSettings(conn, names); err != nil {
			return undo, err
		}
	}
	if err := conn.Exec("SET " + strings.Join(set, ", ")); err != nil {
		return undo, err // one of them is unknown or wrong, and the engine has taken none
	}
	for _, name := range names {
		value := "DEFAULT"
		if v, ok := before[name]; ok {
			value = quote(v)
		}
		back = append(back, identifier(name)+" = "+value)
	}
	return undo, nil
}

// changedSettings returns the values of those of the settings that the client
// has set for the session.
func changedSettings(conn *chdb.Conn, names []string) (map[string]string, error) {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = quote(name)
	}
	rows, err := readRows(conn, "SELECT name, value FROM system.settings WHERE changed AND name IN ("+strings.Join(quoted, ", ")+")", nil)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, row := range rows {
		values[row[0]] = row[1]
	}
	return values, nil
}

// readRows runs a query whose first two columns are texts, and returns these.
func readRows(conn *chdb.Conn, query string, params map[string]string) (rows [][2]string, err error) {
	res, err := conn.Query(query, "JSONCompactStringsEachRow", params)
	if err != nil {
		return nil, err
	}
	defer res.Free()
	lines := json.NewDecoder(strings.NewReader(string(res.Bytes())))
	for {
		var row []string
		if err := lines.Decode(&row); errors.Is(err, io.EOF) {
			return rows, nil
		} else if err != nil || len(row) < 2 {
			return nil, fmt.Errorf("read the engine's answer: %w", errors.Join(err, errShortBlock))
		}
		rows = append(rows, [2]string{row[0], row[1]})
	}
}
