// SPDX-License-Identifier: Apache-2.0

package chfront

import "strings"

// token is a lexical element of SQL: a bare word, a quoted text, or one byte of
// anything else. Blanks and comments are none.
type token struct {
	start, end int
	depth      int    // open brackets around it; an opening one counts itself, a closing one does not
	word       string // a bare word in upper case, else ""
}

// lexer walks over a statement. It never fails: an unclosed quote or comment
// runs to the end, as the engine will say better than we could.
type lexer struct {
	sql   string
	pos   int
	depth int
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// next returns the next token; false at the end.
func (l *lexer) next() (token, bool) {
	l.skipBlanks()
	if l.pos >= len(l.sql) {
		return token{}, false
	}
	t := token{start: l.pos}
	switch c := l.sql[l.pos]; {
	case c == '\'' || c == '"' || c == '`':
		// A doubled quote reads as two texts side by side, which ends at the same place.
		for l.pos++; l.pos < len(l.sql) && l.sql[l.pos] != c; l.pos++ {
			if l.sql[l.pos] == '\\' {
				l.pos++
			}
		}
		l.pos = min(l.pos+1, len(l.sql))
	case isWordByte(c):
		for l.pos < len(l.sql) && isWordByte(l.sql[l.pos]) {
			l.pos++
		}
		t.word = strings.ToUpper(l.sql[t.start:l.pos])
	default:
		l.pos++
		switch c {
		case '(', '[', '{':
			l.depth++
		case ')', ']', '}':
			l.depth--
		}
	}
	t.end, t.depth = l.pos, l.depth
	return t, true
}

func (l *lexer) skipBlanks() {
	for l.pos < len(l.sql) {
		rest := l.sql[l.pos:]
		switch c := rest[0]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f':
			l.pos++
		case strings.HasPrefix(rest, "--") || c == '#':
			if n := strings.IndexByte(rest, '\n'); n >= 0 {
				l.pos += n
			} else {
				l.pos = len(l.sql)
			}
		case strings.HasPrefix(rest, "/*"):
			if n := strings.Index(rest[2:], "*/"); n >= 0 {
				l.pos += n + 4
			} else {
				l.pos = len(l.sql)
			}
		default:
			return
		}
	}
}

// kind says which of the engine's entry points a statement needs.
type kind int

const (
	kindOther     kind = iota // DDL, SET, INSERT … SELECT, …: run it whole
	kindSelect                // may be streamed
	kindInsert                // takes rows as data, inline or from the client
	kindLossy                 // INSERT … SELECT … FROM input(): the engine would report success and store nothing
	kindSet                   // changes the session's settings
	maxFormatName = 64        // longer than any format's name
)

// statement is what the front must know of a statement to run it.
type statement struct {
	kind   kind
	format string // of the FORMAT clause, or the input format of an insert; "" if none is named
	bare   string // the statement without the FORMAT clause of a query; "" if there is no statement
	head   string // kindInsert: the statement without FORMAT clause and data
	data   string // kindInsert: the data that stands behind the statement
}

// parse finds out a statement's kind. It reads no further into an INSERT than
// its data, which may be binary.
func parse(sql string) statement {
	lex := lexer{sql: sql}
	first, ok := lex.next()
	if !ok {
		return statement{}
	}
	if first.word == "INSERT" {
		st := parseInsert(&lex)
		st.bare = sql
		return st
	}
	st := statement{bare: sql}
	switch {
	case first.word == "SELECT" || first.word == "WITH" || sql[first.start] == '(':
		st.kind = kindSelect
	case first.word == "SET":
		st.kind = kindSet
	}
	formatAt := -1 // where the word FORMAT began, if it was the last token
	for {
		t, ok := lex.next()
		if !ok {
			return st
		}
		if t.depth == 0 && t.word != "" {
			switch {
			case formatAt >= 0:
				st.format, st.bare = sql[t.start:t.end], sql[:formatAt]+sql[t.end:]
			case t.word == "INSERT" && first.word == "WITH":
				st.kind = kindOther
			}
		}
		if formatAt = -1; t.depth == 0 && t.word == "FORMAT" {
			formatAt = t.start
		}
	}
}

// parseInsert goes on behind INSERT.
func parseInsert(lex *lexer) statement {
	sql := lex.sql
	for n := 1; ; n++ {
		t, ok := lex.next()
		if !ok { // the rows come from the client, in the default input format
			return statement{kind: kindInsert, format: "Values", head: sql}
		}
		if t.depth != 0 || t.word == "" || n == 1 {
			continue
		}
		switch t.word {
		case "VALUES":
			if n > 2 || lex.peekIs('(') { // else a table of that name
				return statement{kind: kindInsert, format: "Values", head: sql[:t.start], data: sql[t.end:]}
			}
		case "FORMAT":
			f, ok := lex.next()
			if !ok || f.word == "" || f.end-f.start > maxFormatName {
				continue
			}
			return statement{kind: kindInsert, format: sql[f.start:f.end], head: sql[:t.start], data: trimDataStart(sql[f.end:])}
		case "SELECT", "WITH":
			return statement{kind: selectInput(lex)}
		case "FROM": // FROM INFILE: the engine reads the file itself
			return statement{}
		}
	}
}

// selectInput tells whether the rest of an INSERT … SELECT reads input().
func selectInput(lex *lexer) kind {
	for {
		t, ok := lex.next()
		if !ok {
			return kindOther
		}
		if (t.word == "INPUT" || strings.EqualFold(strings.Trim(lex.sql[t.start:t.end], "`\""), "input")) && lex.peekIs('(') {
			return kindLossy
		}
	}
}

// peekIs tells whether the next token is the byte c, without taking it.
func (l *lexer) peekIs(c byte) bool {
	l.skipBlanks()
	return l.pos < len(l.sql) && l.sql[l.pos] == c
}

// trimDataStart drops what the server's parser takes as the end of the FORMAT
// clause: blanks, one semicolon, one line end. What follows is data to the byte.
func trimDataStart(data string) string {
	data = strings.TrimLeft(data, " \t\r")
	data = strings.TrimPrefix(data, ";")
	return strings.TrimPrefix(data, "\n")
}

// insertTarget turns the head of an insert, "INSERT INTO t (a, b)", into a query
// that has the columns the client must send, "(SELECT a, b FROM t)".
func insertTarget(head string) string {
	lex := lexer{sql: head}
	start, end, columns, open := -1, -1, "*", -1
	for {
		t, ok := lex.next()
		switch {
		case !ok, t.depth == 0 && t.word == "SETTINGS" && start >= 0:
			return "(SELECT " + columns + " FROM " + table(head, start, end) + ")"
		case start < 0:
			if t.word != "INSERT" && t.word != "INTO" && t.word != "TABLE" {
				start, end = t.start, t.end
			}
		case head[t.start] == '(' && t.depth == 1 && open < 0:
			open = t.end
		case head[t.start] == ')' && t.depth == 0 && open >= 0:
			columns = head[open:t.start]
		case open < 0:
			end = t.end
		}
	}
}

func table(head string, start, end int) string {
	if start < 0 {
		return ""
	}
	return head[start:end]
}

// quote writes s as a SQL string.
func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\x00", `\0`).Replace(s) + "'"
}

// identifier writes s as a quoted SQL name.
func identifier(s string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`", "\x00", `\0`).Replace(s) + "`"
}
