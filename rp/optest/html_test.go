package optest

import (
	"crypto/sha512"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func hashSource(code string) string {
	sum := sha512.Sum384([]byte(code))
	return "sha384-" + base64.StdEncoding.EncodeToString(sum[:])
}

func TestForms(t *testing.T) {
	t.Parallel()
	const wide = `<!DOCTYPE html><!-- <form> --><FORM ID='f' action="/go?a=1&amp;b=2" METHOD=Post>
		<input name=plain><input type="hidden" name="h" value="&quot;&lt;x&gt;&#39;">
		<input type=checkbox name=c1><input type=checkbox name=c2 checked><input type=radio name=r value=1><input type=radio name=r value=2 checked/>
		<input type=submit name=s value=go><input type=file name=up><input name=off value=1 disabled><input value=nameless>
		<textarea name=t>
line </textarea><select name=one><option value=a>A<option value=b>B</select>
		<select name=two><option>x</option><option selected> y </option></select>
		<button name=action value=yes>Yes</button><button type=button name=no value=no>No</button>
		<noscript><input name=without-scripts value=1></noscript><script>"<input name=in-script>"</script>
		</form><input name=outside value=1><form><input name=second value=2></form>`
	forms := page(wide).Forms()
	if len(forms) != 2 {
		t.Fatalf("%d forms", len(forms))
	}
	want := url.Values{
		"plain": {""}, "h": {`"<x>'`}, "c2": {"on"}, "r": {"2"}, "t": {"line "}, "one": {"a"}, "two": {"y"},
	}
	f := forms[0]
	if f.ID != "f" || f.Action != "/go?a=1&b=2" || f.Method != "POST" || f.Fields.Encode() != want.Encode() {
		t.Errorf("%+v", f)
	}
	if f.Buttons.Encode() != "action=yes&s=go" {
		t.Errorf("buttons %v", f.Buttons)
	}
	if forms[1].Method != "GET" || forms[1].Fields.Encode() != "second=2" {
		t.Errorf("%+v", forms[1])
	}
	p := page(wide)
	p.noScript = true
	if !p.Forms()[0].Fields.Has("without-scripts") {
		t.Error("noscript is no part of a page without scripts")
	}
}

func TestLinksAndText(t *testing.T) {
	t.Parallel()
	p := page(`<title>T</title><style>a{}</style><p>Hello, <a href="/a?x=1&amp;y=2">an <b>old</b>
		friend</a> &amp; <a>nothing</a></p><a href=b>b</a>`)
	want := []Link{{"/a?x=1&y=2", "an old friend"}, {"b", "b"}}
	if got := p.Links(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := p.Text(); got != "Hello, an old friend & nothing b" {
		t.Errorf("%q", got)
	}
}

// What no letter follows opens no tag.
func TestTextWithLessThanSigns(t *testing.T) {
	t.Parallel()
	const text = "1<2, a<{b}, c<~d and <@e"
	if got := page("<p>" + text + "</p>").Text(); got != text {
		t.Errorf("%q", got)
	}
}

// FuzzTags: the tokenizer ends, and a form that it finds has a name in the text.
func FuzzTags(f *testing.F) {
	for _, seed := range []string{"", "<", "</", "<a", "<a b", "<a b=", `<a b="`, "<form><input name=x>", "<!--", "<script>", "<a/b/>", "< a>", "<textarea>\n<"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		count := 0
		for range tags(s, false) {
			count++
		}
		if count > strings.Count(s, "<") {
			t.Errorf("%d tags in %q", count, s)
		}
		for _, form := range page(s).Forms() {
			if form.Method != "GET" && form.Method != "POST" {
				t.Errorf("method %q", form.Method)
			}
		}
	})
}
