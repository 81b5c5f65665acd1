package optest

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Page is where a navigation ended.
type Page struct {
	URL     string // with the fragment
	Status  int
	Header  http.Header
	Body    []byte
	History []string // every URL of the navigation in order; the last one is URL
	Frames  []*Page  // its iframes, in order; Status is 0 for one that could not be loaded

	noScript bool
}

// Form is a form of a page.
type Form struct {
	ID, Action string     // as they are written
	Method     string     // GET or POST
	Fields     url.Values // what would be sent without a button's name
	Buttons    url.Values // names and values of its buttons
}

// Link is a link of a page.
type Link struct{ Href, Text string }

func (f Form) has(fields url.Values) bool {
	for name := range fields {
		if !f.Fields.Has(name) && !f.Buttons.Has(name) {
			return false
		}
	}
	return true
}

// html reports whether the body is a web page. As in a browser, a broken parameter of the type changes nothing.
func (p *Page) html() bool {
	media, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
	return media == "text/html" || media == "application/xhtml+xml"
}

func (p *Page) tags() func(func(tag) bool) {
	if !p.html() {
		return func(func(tag) bool) {}
	}
	return tags(string(p.Body), p.noScript)
}

// Forms returns the forms of the page, in order.
func (p *Page) Forms() []Form {
	reader := formReader{}
	for t := range p.tags() {
		reader.read(t)
	}
	return reader.forms
}

// Links returns the links of the page, in order.
func (p *Page) Links() []Link {
	var links []Link
	inside := false
	for t := range p.tags() {
		switch t.name {
		case "a":
			if href, ok := t.attrs["href"]; ok {
				links, inside = append(links, Link{Href: href}), true
			}
		case "/a":
			inside = false
		}
		if inside {
			links[len(links)-1].Text += t.text
		}
	}
	for i, l := range links {
		links[i].Text = strings.Join(strings.Fields(l.Text), " ")
	}
	return links
}

// Text returns what a reader sees of the page, roughly: its text without tags, scripts and styles.
func (p *Page) Text() string {
	if !p.html() {
		return string(p.Body)
	}
	var b strings.Builder
	for t := range p.tags() {
		if hidden := rawElements[t.name] || (t.name == "noscript" && !p.noScript); !hidden {
			b.WriteString(" " + t.text)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// formReader collects the forms of a page (HTML standard, constructing the entry list).
type formReader struct {
	forms    []Form
	open     bool
	choice   string // name of the select element that is open
	chosen   bool   // one of its options is selected
	fallback *string
}

func (r *formReader) read(t tag) {
	switch t.name {
	case "form":
		if r.open {
			return // forms do not nest
		}
		method := http.MethodGet
		if strings.EqualFold(t.attrs["method"], "post") {
			method = http.MethodPost
		}
		r.open = true
		r.forms = append(r.forms, Form{
			ID: t.attrs["id"], Action: t.attrs["action"], Method: method, Fields: url.Values{}, Buttons: url.Values{},
		})
	case "/form":
		r.open = false
	}
	if _, disabled := t.attrs["disabled"]; r.open && !disabled {
		r.control(&r.forms[len(r.forms)-1], t)
	}
}

func (r *formReader) control(f *Form, t tag) {
	name := t.attrs["name"]
	switch t.name {
	case "input":
		r.input(f, t)
	case "textarea":
		if name != "" {
			f.Fields.Add(name, t.text)
		}
	case "button":
		if kind := strings.ToLower(t.attrs["type"]); name != "" && (kind == "" || kind == "submit") {
			f.Buttons.Add(name, t.attrs["value"])
		}
	case "select":
		r.choice, r.chosen, r.fallback = name, false, nil
	case "option":
		r.option(f, t)
	case "/select":
		if r.choice != "" && !r.chosen && r.fallback != nil {
			f.Fields.Add(r.choice, *r.fallback)
		}
		r.choice = ""
	}
}

func (r *formReader) input(f *Form, t tag) {
	name, value := t.attrs["name"], t.attrs["value"]
	if name == "" {
		return
	}
	_, checked := t.attrs["checked"]
	switch strings.ToLower(t.attrs["type"]) {
	case "submit":
		f.Buttons.Add(name, value)
	case "button", "reset", "image", "file":
	case "checkbox", "radio":
		if _, ok := t.attrs["value"]; !ok {
			value = "on"
		}
		if checked {
			f.Fields.Add(name, value)
		}
	default:
		f.Fields.Add(name, value)
	}
}

func (r *formReader) option(f *Form, t tag) {
	value, ok := t.attrs["value"]
	if !ok {
		value = strings.TrimSpace(t.text)
	}
	if _, selected := t.attrs["selected"]; selected && r.choice != "" {
		f.Fields.Add(r.choice, value)
		r.chosen = true
	}
	if r.fallback == nil {
		r.fallback = &value
	}
}

// navigation starts one from this page; a form that is nil is a link.
func (p *Page) navigation(method, href string, form url.Values) (*navigation, error) {
	from, err := parseAddress(nil, p.URL)
	if err != nil {
		return nil, err
	}
	target, err := parseAddress(from, href)
	if err != nil {
		return nil, fmt.Errorf("optest: on %s: %w", p.URL, err)
	}
	n := &navigation{method: http.MethodGet, target: target, from: from, policy: p.referrerPolicy()}
	switch {
	case form == nil && method != http.MethodPost:
		return n, nil
	case method == http.MethodPost:
		n.method, n.body = method, form.Encode()
	default:
		target.RawQuery = form.Encode()
	}
	n.forms = p.policies()
	return n, nil
}

func (p *Page) referrerPolicy() string {
	policy := referrerPolicy(p.Header)
	for t := range p.tags() {
		if t.name == "meta" && strings.EqualFold(t.attrs["name"], "referrer") && referrerPolicies[strings.ToLower(t.attrs["content"])] {
			policy = strings.ToLower(t.attrs["content"])
		}
	}
	return policy
}

// refresh finds what a Refresh header or meta element points to.
func (p *Page) refresh() (target string, ok bool) {
	values := slices.Clone(p.Header.Values("Refresh"))
	for t := range p.tags() {
		if t.name == "meta" && strings.EqualFold(t.attrs["http-equiv"], "refresh") {
			values = append(values, t.attrs["content"])
		}
	}
	if len(values) == 0 {
		return "", false
	}
	_, target, found := strings.Cut(strings.ReplaceAll(values[0], ",", ";"), ";")
	if target = strings.TrimSpace(target); !found || target == "" {
		return p.URL, true
	}
	if len(target) > 4 && strings.EqualFold(target[:4], "url=") {
		target = target[4:]
	}
	return strings.Trim(target, ` '"`), true
}

// selfSubmitting finds the form that a script of the page submits at once.
func (p *Page) selfSubmitting() (Form, bool) {
	if p.noScript || !p.html() {
		return Form{}, false
	}
	submits, relays := p.scripts()
	forms := p.Forms()
	if !submits || len(forms) != 1 {
		return Form{}, false
	}
	form := forms[0]
	if !relays {
		return form, true
	}
	_, fragment, _ := strings.Cut(p.URL, "#")
	values, _ := url.ParseQuery(fragment) // what cannot be read is left out, as URLSearchParams does
	for name, list := range values {
		form.Fields[name] = append(form.Fields[name], list...)
	}
	return form, len(values) > 0
}

// scripts tells what those scripts do that the page's policies let run.
func (p *Page) scripts() (submits, relays bool) {
	policies := p.policies()
	runs := func(t tag, code string) bool {
		return !slices.ContainsFunc(policies, func(c csp) bool { return !c.permitsScript(t, code) })
	}
	for t := range p.tags() {
		code := t.attrs["onload"]
		if t.name == "script" && t.attrs["src"] == "" {
			code = t.text
		}
		if code == "" || !runs(t, code) {
			continue
		}
		if strings.Contains(code, "ubmit(") || strings.Contains(code, "ubmit.call(") { // submit or requestSubmit
			submits = true
		}
		if strings.Contains(code, "location.hash") {
			relays = true
		}
	}
	return submits, relays
}
