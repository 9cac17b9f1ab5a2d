// SPDX-License-Identifier: Apache-2.0

package definition

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// What a file may be. The contract sets maxBytes. The others keep the YAML library
// within memory and time (it recurses over nesting and over the entries of a
// mapping, copies what follows at each entry, and keeps a path of keys at every
// value); all are far above what a definition needs.
const (
	maxBytes   = 1 << 20
	maxDepth   = 8
	maxEntries = 2000
	maxKey     = 63
	maxBlank   = 100
	maxRefused = 100
)

// normalize is the file without its byte order mark and with \n for every line
// end: what positions count in.
func normalize(source []byte) string {
	source = bytes.TrimPrefix(source, []byte("\ufeff"))
	if bytes.IndexByte(source, '\r') < 0 {
		return string(source)
	}
	return strings.ReplaceAll(strings.ReplaceAll(string(source), "\r\n", "\n"), "\r", "\n")
}

// yamlReader turns a file into a tree of nodes.
type yamlReader struct {
	*problems
	text  string
	lines []int // offset of each line's first byte
	tabs  bool  // whether there are any
	// cut is where a comment cuts off a quoted text in braces or brackets, which
	// then miss their end; zero if none does.
	cut Pos

	here       Pos // where seek stands
	hereOffset int // the same, in bytes
}

// readYAML is the file's tree. It is nil if it could not be read, with the reason
// among the problems.
func readYAML(text string, ps *problems) (root *node) {
	y := &yamlReader{problems: ps, text: text, lines: []int{0}, tabs: strings.Contains(text, "\t"), here: Pos{1, 1}}
	for i := range len(text) {
		if text[i] == '\n' {
			y.lines = append(y.lines, i+1)
		}
	}
	// A panic of the library on a broken file must not take down who checks it.
	defer func() {
		if r := recover(); r != nil {
			y.add(Pos{1, 1}, "the file cannot be read as YAML")
			root = nil
		}
	}()
	if !y.checkCharacters() {
		return nil
	}
	tokens := lexer.Tokenize(text)
	refused, readable := y.checkTokens(tokens)
	if !readable {
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		if !refused { // else it is most likely what follows from what was refused
			y.syntaxError(err)
		}
		return nil
	}
	docs := slices.DeleteFunc(file.Docs, func(doc *ast.DocumentNode) bool {
		_, directive := doc.Body.(*ast.DirectiveNode) // refused already
		return directive || doc.Start == nil && doc.Body == nil
	})
	switch {
	case len(docs) > 1:
		tk := docs[1].Start
		if tk == nil {
			tk = docs[1].Body.GetToken()
		}
		y.add(y.at(tk), "a second document begins here: a file holds one definition")
		return nil
	case len(docs) == 0 || docs[0].Body == nil:
		y.add(Pos{1, 1}, "the file is empty: it must begin with `lapwing: 1`")
		return nil
	}
	return y.node(docs[0].Body)
}

// checkCharacters refuses what is no text, and what the lexer takes too long over.
func (y *yamlReader) checkCharacters() bool {
	for i, r := range y.text {
		if r == utf8.RuneError && !strings.HasPrefix(y.text[i:], string(utf8.RuneError)) {
			y.add(y.pos(i), "the file is not valid UTF-8 here")
			return false
		}
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			y.add(y.pos(i), "the control character U+%04X is not allowed", r)
			return false
		}
	}
	blank := 0
	for i := range y.lines {
		if strings.Trim(y.line(i+1), " \t") != "" {
			blank = 0
		} else if blank++; blank > maxBlank {
			y.add(Pos{i + 1, 1}, "more than %d empty lines in a row", maxBlank)
			return false
		}
	}
	return true
}

// checkTokens refuses the parts of YAML that a definition has no use for, all of
// them at once, and the sizes that the parser cannot bear. The file is readable
// if the parser may be called.
func (y *yamlReader) checkTokens(tokens token.Tokens) (refused, readable bool) {
	count, flow := 0, 0
	type level struct{ column, entries int } // a mapping or list in block style
	var levels []level
	block := func(tk *token.Token) *level {
		column := tk.Position.Column
		for len(levels) > 0 && levels[len(levels)-1].column > column {
			levels = levels[:len(levels)-1]
		}
		if len(levels) == 0 || levels[len(levels)-1].column < column {
			levels = append(levels, level{column: column})
		}
		return &levels[len(levels)-1]
	}
	for _, tk := range tokens {
		why := ""
		switch tk.Type {
		case token.TagType:
			why = "YAML tags are not allowed; quote a text that begins with !"
		case token.AnchorType:
			why = "YAML anchors are not allowed; quote a text that begins with &"
		case token.AliasType:
			why = "YAML aliases are not allowed; quote a text that begins with *"
		case token.MergeKeyType:
			why = "YAML merge keys are not allowed"
		case token.MappingKeyType:
			why = "keys introduced by ? are not allowed; quote a text that begins with ?"
		case token.DirectiveType:
			why = "YAML directives are not allowed; quote a text that begins with %"
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow = max(0, flow-1)
		case token.SequenceEntryType:
			if flow == 0 {
				block(tk).entries = 0 // each item begins its mapping anew
			}
		case token.CommentType:
			if before := tk.Prev; flow > 0 && y.cut == (Pos{}) && before != nil && before.Type == token.StringType &&
				before.Position.Line == tk.Position.Line && endsQuoted(before.Value) {
				y.cut = y.at(tk)
			}
		case token.MappingValueType:
			key := tk.Prev
			if key == nil {
				break
			}
			if n := utf8.RuneCountInString(key.Value); n > maxKey {
				y.add(y.at(key), "a key of %d characters: at most %d are allowed", n, maxKey)
				return true, false
			}
			if flow == 0 {
				l := block(key)
				if l.entries++; l.entries > maxEntries {
					y.add(y.at(key), "a mapping of more than %d entries", maxEntries)
					return true, false
				}
			}
		default:
		}
		if flow+len(levels) > maxDepth {
			y.add(y.at(tk), "nested too deep: at most %d levels are allowed", maxDepth)
			return true, false
		}
		if why == "" {
			continue
		}
		y.add(y.at(tk), "%s", why)
		refused = true
		if count++; count > maxRefused {
			return true, false
		}
	}
	return refused, true
}

// syntaxError reports what the library stumbled over, in words for people who do not
// know YAML's, with what it mostly means here.
func (y *yamlReader) syntaxError(err error) {
	var se interface {
		error
		GetMessage() string
		GetToken() *token.Token
	}
	if !errors.As(err, &se) || se.GetToken() == nil {
		y.add(Pos{1, 1}, "the file cannot be read as YAML")
		return
	}
	at, message := y.at(se.GetToken()), se.GetMessage()
	missing := strings.HasSuffix(message, "must be specified") // ',' or the end of braces or brackets
	switch {
	// What is missed is missed after the comment; what does not end begins before it.
	case y.cut != (Pos{}) && (missing && y.cut.Line < at.Line || strings.Contains(message, "end token") && at.Line <= y.cut.Line):
		y.add(y.cut, cutByComment, "the text")
		return
	case missing && followsQuoted(se.GetToken()):
		message = "the text ends before this, at its quote" + wholly
	case strings.Contains(message, "tab character") || strings.Contains(message, "character '\t'"):
		message = "a tab stands here where only spaces may: YAML is indented with spaces"
		if i := strings.IndexByte(y.line(at.Line), '\t'); i >= 0 { // the library may point behind it
			at.Column = utf8.RuneCountInString(y.line(at.Line)[:i]) + 1
		}
	case strings.Contains(message, "invalid tag character"):
		before := y.text[y.lines[at.Line-1]:y.offset(at)]
		if i := strings.LastIndexByte(before, '!'); i >= 0 {
			at.Column = utf8.RuneCountInString(before[:i]) + 1
			message = "YAML tags are not allowed; quote a text that begins with !"
		}
	default:
		message = plainly(message)
	}
	y.add(at, "%s", oneLine(message))
}

const wholly = "; quote a text that begins with a quote as a whole, such as \"'a' == 'b'\""

// inPlainWords are the library's messages, by a part of each, and ours.
var inPlainWords = []struct{ theirs, ours string }{
	{"map key-value is pre-defined", "the value ended before this" + wholly},
	{"mapping value is not allowed", "a second `: ` stands in this value; quote a text that contains `: `"},
	{"could not find flow map content", "this is no `key: value`; in braces, quote a text that contains a comma"},
	{"',' or '}' must be specified", "a comma or the closing } is missing before this"},
	{"',' or ']' must be specified", "a comma or the closing ] is missing before this"},
	{"flow mapping end token '}' not found", "{ is opened here and not closed: } is missing"},
	{"could not find flow mapping end token", "{ is opened here and not closed: } is missing"},
	{"sequence end token ']' not found", "[ is opened here and not closed: ] is missing"},
	{"could not find '[' character", "] closes nothing: take it out, or put [ before the list"},
	{"could not find '{' character", "} closes nothing: take it out, or put { before the mapping"},
	{"end character of single-quoted text", "a text begins with ' here and does not end: the closing ' is missing"},
	{"end character of double-quoted text", "a text begins with \" here and does not end: the closing \" is missing"},
	{"non-map value is specified", "this is no `key: value`: is the colon missing, or is it indented wrongly?"},
	{"unexpected key name", "this is no `key: value`: is the colon missing, or the blank behind it?"},
	{"block sequence entries are not allowed", "a list begins on a line of its own, not behind a key: put - on the next line, or write [a, b]"},
	{"value is not allowed in this context", "this stands where nothing may: is it indented wrongly, or is `key: ` or - missing before it?"},
}

// plainly is a message of the library in our words.
func plainly(message string) string {
	for _, w := range inPlainWords {
		if strings.Contains(message, w.theirs) {
			return w.ours
		}
	}
	switch {
	case strings.Contains(message, "reserved character"):
		return message + "; quote a text that begins with it"
	case strings.Contains(message, "directive"):
		return message + "; quote a text that begins with %"
	default:
		return message
	}
}

// followsQuoted reports whether a quoted text ends before tk, on the same line.
func followsQuoted(tk *token.Token) bool {
	before := tk.Prev
	return before != nil && (before.Type == token.SingleQuoteType || before.Type == token.DoubleQuoteType) &&
		before.Position.Line == tk.Position.Line
}

// oneLine keeps a message that quotes the file on one line.
func oneLine(s string) string {
	q := fmt.Sprintf("%q", s)
	q = strings.ReplaceAll(strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`), `\\`, `\`)
	if runes := []rune(q); len(runes) > 200 {
		return string(runes[:200]) + "…"
	}
	return q
}

// at is the place of a token, moved into the file if the library is mistaken.
func (y *yamlReader) at(tk *token.Token) Pos {
	if tk == nil || tk.Position == nil {
		return Pos{1, 1}
	}
	y.seek(Pos{min(max(tk.Position.Line, 1), len(y.lines)), max(tk.Position.Column, 1)})
	// The library loses a column at some tabs: the token then stands further right.
	const window = 4096 // bytes; bounds the work on one long line
	if y.tabs && tk.Type != token.ImplicitNullType {
		first, _, _ := strings.Cut(strings.Trim(tk.Origin, " \t\n"), "\n")
		rest := y.text[y.hereOffset:min(len(y.text), y.hereOffset+window)]
		if i := strings.Index(rest, first); i > 0 && !strings.Contains(rest[:i], "\n") {
			y.seek(Pos{y.here.Line, y.here.Column + utf8.RuneCountInString(rest[:i])})
		}
	}
	return y.here
}

// seek moves here to p, or to the end of p's line if that comes first. Values are
// read nearly in the order of the file and a file may be one long line, so it goes
// from where it stands, in either direction.
func (y *yamlReader) seek(p Pos) {
	if p.Line != y.here.Line {
		y.here, y.hereOffset = Pos{p.Line, 1}, y.lines[p.Line-1]
	}
	for y.here.Column > p.Column {
		_, size := utf8.DecodeLastRuneInString(y.text[:y.hereOffset])
		y.hereOffset -= size
		y.here.Column--
	}
	for y.here.Column < p.Column && y.hereOffset < len(y.text) && y.text[y.hereOffset] != '\n' {
		_, size := utf8.DecodeRuneInString(y.text[y.hereOffset:])
		y.hereOffset += size
		y.here.Column++
	}
}

// line is the text of a line, counted from 1, without its end.
func (y *yamlReader) line(number int) string {
	line := y.text[y.lines[number-1]:]
	if number < len(y.lines) {
		line = y.text[y.lines[number-1] : y.lines[number]-1]
	}
	return line
}

// offset is the byte of the file at p, which lies in the file.
func (y *yamlReader) offset(p Pos) int {
	y.seek(p)
	return y.hereOffset
}

// pos is the place of the byte at offset.
func (y *yamlReader) pos(offset int) Pos {
	line := 1
	for line < len(y.lines) && y.lines[line] <= offset {
		line++
	}
	return Pos{line, utf8.RuneCountInString(y.text[y.lines[line-1]:offset]) + 1}
}
