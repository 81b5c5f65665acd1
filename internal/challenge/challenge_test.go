package challenge_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/internal/challenge"
)

// show prints challenges as they are understood.
func show(lines ...string) string {
	var out []string
	for _, c := range challenge.Of(http.Header{"Www-Authenticate": lines}) {
		text := c.Scheme
		for _, p := range c.Params {
			text += fmt.Sprintf(" %s=%q", p.Name, p.Value)
		}
		out = append(out, text)
	}
	return strings.Join(out, " | ")
}

func TestOf(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		line, want string
	}{
		"scheme alone":                     {`Negotiate`, `Negotiate`},
		"token68":                          {`Negotiate a87421000492aa874209af8bc028==`, `Negotiate`},
		"token68 before another":           {`NTLM TlRM/+==, Bearer error=x`, `NTLM | Bearer error="x"`},
		"parameters":                       {`Bearer realm="a b", Error=invalid_token`, `Bearer realm="a b" error="invalid_token"`},
		"two challenges (RFC 9110 11.6.1)": {`Basic realm="simple", Newauth realm="apps", type=1, title="Login to \"apps\""`, `Basic realm="simple" | Newauth realm="apps" type="1" title="Login to \"apps\""`},
		"blanks around the equals sign":    {`Bearer error = "x" , max_age	=	5`, `Bearer error="x" max_age="5"`},
		"empty list elements":              {`, ,Bearer error=x,,`, `Bearer error="x"`},
		"empty quoted string":              {`Bearer error=""`, `Bearer error=""`},
		"comma in quotes":                  {`Bearer error_description="x, error=invalid_token", error=y`, `Bearer error_description="x, error=invalid_token" error="y"`},
		"scheme in quotes":                 {`Basic realm="Bearer error=x"`, `Basic realm="Bearer error=x"`},
		"RFC 9470 section 3":               {`Bearer error="insufficient_user_authentication", error_description="A different authentication level is required", acr_values="myACR"`, `Bearer error="insufficient_user_authentication" error_description="A different authentication level is required" acr_values="myACR"`},
		"nothing":                          {``, ``},
		"token68 without an equals sign":   {`Negotiate YII/abc`, `Negotiate`},
		"scheme alone behind another":      {`Bearer error=x, Negotiate`, `Bearer error="x" | Negotiate`},
		"tab in quotes":                    {"Bearer realm=\"a\tb\"", `Bearer realm="a\tb"`},

		"parameter twice":                 {`Bearer error=a, error=b`, ``},
		"parameter twice, another case":   {`Bearer error=a, ERROR=b`, ``},
		"parameter without scheme":        {`error="x"`, ``},
		"no value":                        {`Bearer error=, realm=x`, ``},
		"quotes do not end":               {`Bearer error="x`, ``},
		"backslash at the end":            {`Bearer error="x\`, ``},
		"text after the quotes":           {`Bearer error="x"y`, ``},
		"no comma":                        {`Bearer error=x realm=y`, ``},
		"line break":                      {"Bearer error=\"x\r\nSet-Cookie: a=b\"", ``},
		"zero byte":                       {"Bearer error=\"x\x00\"", ``},
		"escaped control":                 {"Bearer error=\"\\\x01\"", ``},
		"tab after the scheme":            {"Bearer\terror=x", ``},
		"slash in a token":                {`Bearer error=a/b`, ``},
		"bracket in a token":              {`Bearer error=[a]`, ``},
		"brace in a token":                {`Bearer error={a}`, ``},
		"letter that is not ASCII":        {`Bearer error=é`, ``},
		"delete in quotes":                {"Bearer error=\"a\x7f\"", ``},
		"no value at the end":             {`Bearer realm=x, error=`, ``},
		"no name":                         {`Bearer ="x"`, ``},
		"no name behind a parameter":      {`Bearer realm=x, ="y"`, ``},
		"no equals sign":                  {`Bearer realm xy`, ``},
		"neither token68 nor parameter":   {`Bearer !`, ``},
		"token68 of equals signs alone":   {`Negotiate ==`, ``},
		"one bad challenge spoils a line": {`Bearer error=x, "oops"`, ``},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := show(row.line); got != row.want {
				t.Errorf("%q\n got %s\nwant %s", row.line, got, row.want)
			}
		})
	}
}

func TestGetAndIs(t *testing.T) {
	t.Parallel()
	list := challenge.Of(http.Header{"Www-Authenticate": {`bearer realm="a", Error="b"`}})
	if len(list) != 1 || !list[0].Is("Bearer") || list[0].Is("Basic") {
		t.Fatalf("%v", list)
	}
	for name, want := range map[string]string{"realm": "a", "error": "b", "scope": ""} {
		if got := list[0].Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	params := func(n int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf("p%d=1", i)
		}
		return "Bearer " + strings.Join(list, ",")
	}
	for name, row := range map[string]struct {
		lines []string
		want  bool
	}{
		"eight lines":            {slices.Repeat([]string{"Bearer error=x"}, 8), true},
		"nine lines":             {slices.Repeat([]string{"Bearer error=x"}, 9), false},
		"32 parameters":          {[]string{params(32)}, true},
		"33 parameters":          {[]string{params(33)}, false},
		"4 KB":                   {[]string{`Bearer error="` + strings.Repeat("x", 4<<10-15) + `"`}, true},
		"more than 4 KB":         {[]string{`Bearer error="` + strings.Repeat("x", 4<<10-14) + `"`}, false},
		"a bad line, a good one": {[]string{`Bearer error="`, "Bearer error=x"}, true},
	} {
		if got := show(row.lines...) != ""; got != row.want {
			t.Errorf("%s: understood %v, want %v", name, got, row.want)
		}
	}
}

// FuzzOf: what is understood, written plainly, is understood the same; and nothing is longer than it was.
func FuzzOf(f *testing.F) {
	for _, seed := range []string{
		`Bearer error="insufficient_user_authentication", acr_values="a b", max_age=5`, `Basic realm="x\"y", Bearer error=z`, `Negotiate abc==`, `,`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		var plain []string
		size := 0
		for _, c := range challenge.Of(http.Header{"Www-Authenticate": {line}}) {
			var params []string
			for _, p := range c.Params {
				params = append(params, p.Name+`="`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(p.Value)+`"`)
				size += len(p.Name) + len(p.Value)
			}
			plain = append(plain, strings.TrimSpace(c.Scheme+" "+strings.Join(params, ", ")))
		}
		if size > len(line) {
			t.Errorf("%q: %d bytes", line, size)
		}
		again := strings.Join(plain, ", ")
		if len(again) <= 4<<10 && show(again) != show(line) {
			t.Errorf("%q is %s, written plainly %s", line, show(line), show(again))
		}
	})
}
