package optest

import (
	"html"
	"iter"
	"strings"
)

// tag is a start or end tag, with the text that follows it up to the next one.
type tag struct {
	name  string // lower case; "/form" for an end tag
	attrs map[string]string
	text  string // unescaped; for script, style and textarea all of their content
}

// rawElements hold text and no tags. noscript is one where scripts run.
var rawElements = map[string]bool{"script": true, "style": true, "textarea": true, "title": true, "template": true, "iframe": true}

// tags is a small HTML tokenizer, good enough for forms, links and scripts of pages that are not out to deceive it.
func tags(page string, noScript bool) iter.Seq[tag] {
	return func(yield func(tag) bool) {
		for rest := page; ; {
			start := strings.IndexByte(rest, '<')
			if start < 0 {
				return
			}
			rest = rest[start+1:]
			if comment, ok := strings.CutPrefix(rest, "!--"); ok {
				_, rest, _ = strings.Cut(comment, "-->")
				continue
			}
			if !opensTag(rest) {
				continue
			}
			var t tag
			t, rest = readTag(rest)
			t.text, rest = readText(t.name, rest, noScript)
			if !yield(t) {
				return
			}
		}
	}
}

// opensTag reports whether a tag's name follows its "<".
func opensTag(s string) bool {
	s = strings.TrimPrefix(s, "/")
	return s != "" && letter(s[0])
}

func letter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// readTag reads from behind "<" to behind ">".
func readTag(s string) (tag, string) {
	end := strings.IndexAny(s[1:], " \t\r\n\f/>")
	if end < 0 {
		return tag{name: strings.ToLower(s)}, ""
	}
	t := tag{name: strings.ToLower(s[:end+1]), attrs: map[string]string{}}
	s = s[end+1:]
	for {
		s = strings.TrimLeft(s, " \t\r\n\f/")
		switch {
		case s == "":
			return t, ""
		case s[0] == '>':
			return t, s[1:]
		}
		var name, value string
		name, value, s = readAttribute(s)
		if _, seen := t.attrs[name]; !seen {
			t.attrs[name] = value
		}
	}
}

func readAttribute(s string) (name, value, rest string) {
	end := strings.IndexAny(s[1:], "= \t\r\n\f/>")
	if end < 0 {
		return strings.ToLower(s), "", ""
	}
	name = strings.ToLower(s[:end+1])
	s = strings.TrimLeft(s[end+1:], " \t\r\n\f")
	after, ok := strings.CutPrefix(s, "=")
	if !ok {
		return name, "", s
	}
	s = strings.TrimLeft(after, " \t\r\n\f")
	if s != "" && (s[0] == '"' || s[0] == '\'') {
		value, rest, _ = strings.Cut(s[1:], s[:1])
		return name, html.UnescapeString(value), rest
	}
	end = strings.IndexAny(s, " \t\r\n\f>")
	if end < 0 {
		return name, html.UnescapeString(s), ""
	}
	return name, html.UnescapeString(s[:end]), s[end:]
}

// readText reads what follows a tag.
func readText(name, s string, noScript bool) (text, rest string) {
	if rawElements[name] || (name == "noscript" && !noScript) {
		end := indexFold(s, "</"+name)
		if name == "textarea" || name == "title" {
			return html.UnescapeString(strings.TrimPrefix(s[:end], "\n")), s[end:]
		}
		return s[:end], s[end:]
	}
	end := 0
	for end < len(s) && !(s[end] == '<' && (opensTag(s[end+1:]) || strings.HasPrefix(s[end+1:], "!--"))) {
		end++
	}
	return html.UnescapeString(s[:end]), s[end:]
}

// indexFold finds a lower-case ASCII string in any case; the end of s if it is not there.
func indexFold(s, lower string) int {
	for i := 0; i+len(lower) <= len(s); i++ {
		if strings.EqualFold(s[i:i+len(lower)], lower) {
			return i
		}
	}
	return len(s)
}
