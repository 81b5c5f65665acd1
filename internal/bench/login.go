package main

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// party is a relying party in a process of its own.
type party struct {
	name  string
	child *child
}

// loginSection logs in at each relying party in turn. The provider is another process; what counts is what the relying
// party's process has used.
func loginSection(ctx context.Context, o options, r *report) error {
	op, err := startChild(ctx, "provider", settings{})
	if err != nil {
		return err
	}
	defer op.stop()
	var parties []party
	defer func() {
		for _, p := range parties {
			p.child.stop()
		}
	}()
	for _, name := range []string{partyEmpty, partyFloor, partyGoOIDC, partyZitadel, partyOurs} {
		c, err := startChild(ctx, "party", settings{Variant: name, Issuer: "http://" + op.addr, Key: cookieKey, Procs: 1})
		if err != nil {
			return err
		}
		parties = append(parties, party{name, c})
	}
	s := make(samples, len(parties))
	n := o.pick(12, 60)
	b := newDriver()
	for round := range o.longRounds() + 1 {
		for i := range parties {
			i = (i + round) % len(parties)
			used, err := b.logins(ctx, parties[i].child, n)
			if err != nil {
				return fmt.Errorf("%s: %w", parties[i].name, err)
			}
			s[i].name = parties[i].name
			if round > 0 { // the first one warms up
				s[i].ns = append(s[i].ns, float64(used)/float64(n))
			}
		}
	}
	floor := s.named(partyFloor)
	rows := make([][]string, 0, len(s))
	for _, c := range s {
		ratio := c.over(floor)
		cell := number(ratio, 2)
		b := bar{group: "A whole hybrid login (relying party's CPU, × the floor)", name: c.name, ratio: ratio}
		if c.name == partyOurs {
			cell = r.time("5", "≤ 1.6 × the floor, with every check", ratio, "%.2f", ratio <= 1.6)
			b.ours, b.limit = true, 1.6
		}
		r.bar(b)
		rows = append(rows, []string{c.name, number(c.micros(), 0), cell})
	}
	r.table([]string{"", "CPU µs a login", "× the floor"}, rows...)
	return nil
}

// driver is the browser, as cheap as it can be.
type driver struct{ http *http.Client }

func newDriver() *driver {
	return &driver{&http.Client{
		Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// logins logs in n times and returns what the child used.
func (d *driver) logins(ctx context.Context, c *child, n int) (time.Duration, error) {
	before := c.cpu()
	for range n {
		if err := d.login(ctx, c.url()); err != nil {
			return 0, err
		}
	}
	return c.cpu() - before, nil
}

var hidden = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)

// formOf reads the form that the provider's page would post.
func formOf(page string) url.Values {
	form := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(page, -1) {
		form.Set(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	return form
}

// login is one login: the start, the provider's page, the callback.
func (d *driver) login(ctx context.Context, base string) error {
	start, _, err := d.do(ctx, http.MethodGet, base+"/auth/login", "", nil)
	if err != nil {
		return err
	}
	_, page, err := d.do(ctx, http.MethodGet, start.Get("Location"), "", nil)
	if err != nil {
		return err
	}
	form := formOf(page)
	if form.Get("id_token") == "" {
		return errors.New("the provider's page has no form")
	}
	cookie, _, _ := strings.Cut(start.Get("Set-Cookie"), ";")
	end, page, err := d.do(ctx, http.MethodPost, base+"/auth/callback", cookie, form)
	if err != nil {
		return err
	}
	if end.Get("Location") == "" {
		return fmt.Errorf("the callback answers %q", page)
	}
	return nil
}

func (d *driver) do(ctx context.Context, method, address, cookie string, form url.Values) (http.Header, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, "", err
	}
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	answer, err := d.http.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	return answer.Header, string(body), err
}
