package main

import (
	"context"
	"crypto/cipher"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/alexedwards/scs/v2"
	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
	zhttp "github.com/zitadel/oidc/v3/pkg/http"
)

// userKey finds the user in a context of a handler by hand.
type userKey struct{}

const (
	nameIdentity     = "floor, identity only"
	nameAll          = "floor, all opened"
	nameOurIdentity  = "**ours, identity only**"
	nameOurTokens    = "**ours, with tokens**"
	cookieFloorUser  = "__Host-user"
	cookieFloorToken = "__Host-tokens"
)

// sessionSection loads the same session in every way: ID Token and access token of 1.2 KB, refresh token, claims.
func sessionSection(ctx context.Context, o options, r *report) error {
	w, err := newWorld(ctx, setup{})
	if err != nil {
		return err
	}
	defer w.close()
	cookies, err := w.login(ctx)
	if err != nil {
		return err
	}
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	floor := floorCookies(cookies)
	aead := newAEAD()
	list := []contender{
		{nameIdentity, serve(floorUser(aead, nothing), navigation(ctx, "/", floor), http.StatusOK)},
		{nameAll, serve(floorAll(aead, nothing), navigation(ctx, "/", floor), http.StatusOK)},
		{nameOurIdentity, serve(w.auth.RequireLogin(nothing), navigation(ctx, "/", cookies), http.StatusOK)},
		{nameOurTokens, serve(w.auth.RequireTokens(http.HandlerFunc(showToken)), navigation(ctx, "/", cookies), http.StatusOK)},
	}
	size := map[string]int{nameIdentity: strings.IndexByte(floor, ';'), nameAll: len(floor), nameOurIdentity: identitySize(cookies), nameOurTokens: len(cookies)}
	peers, err := sessionPeers(ctx, size)
	if err != nil {
		return err
	}
	s := compareFor(o, cpuTime, longSlice, append(list, peers...)...)
	rows := make([][]string, 0, len(s))
	for _, c := range s {
		rows = append(rows, sessionRow(r, s, c, size[c.name]))
	}
	r.table([]string{"", "µs", "× the floor", "allocations", "cookie bytes"}, rows...)
	return nil
}

func identitySize(cookies string) int {
	for c := range strings.SplitSeq(cookies, "; ") {
		if strings.HasPrefix(c, "__Host-app-s=") {
			return len(c)
		}
	}
	return 0
}

// sessionTarget is what the page of targets says of one of our rows.
type sessionTarget struct {
	floor               string
	ratio, allocs, size float64
	what                string
}

var sessionTargets = map[string]sessionTarget{
	nameOurIdentity: {nameIdentity, 2.3, 15, 450, "identity only"},
	nameOurTokens:   {nameAll, 1.6, 25, 3900, "with tokens"},
}

func sessionRow(r *report, s samples, c sample, size int) []string {
	const group = "Loading a session (× AES-256-GCM, all opened)"
	all := s.named(nameAll)
	t, ours := sessionTargets[c.name]
	if !ours {
		if c.name != nameIdentity && c.name != nameAll {
			r.bar(bar{group: group, name: c.name, ratio: c.over(all)})
		}
		return []string{c.name, number(c.micros(), 2), number(c.over(all), 2), number(c.allocs, 0), number(float64(size), 0)}
	}
	ratio := c.over(s.named(t.floor))
	b := bar{group: group, name: c.name, ratio: c.over(all), ours: true}
	if t.floor == nameAll {
		b.limit = t.ratio
	}
	r.bar(b)
	return []string{
		c.name, number(c.micros(), 2),
		r.time("3", fmt.Sprintf("%s ≤ %.1f × its floor", t.what, t.ratio), ratio, "%.2f", ratio <= t.ratio),
		r.count("3", fmt.Sprintf("%s ≤ %.0f allocations", t.what, t.allocs), c.allocs, c.allocs <= t.allocs),
		r.count("3", fmt.Sprintf("%s ≤ %.0f cookie bytes", t.what, t.size), float64(size), float64(size) <= t.size),
	}
}

// floorCookies are a session by hand: two cookies, AES-256-GCM, each as long as the one of ours, because net/http's part of the
// work goes by their length.
func floorCookies(ours string) string {
	user, tokens, _ := strings.Cut(ours, "; ")
	return floorCookie(cookieFloorUser, len(user)) + "; " + floorCookie(cookieFloorToken, len(tokens))
}

// floorCookie is one of them. Base64url has no text of every length, so it may be a byte longer.
func floorCookie(name string, size int) string {
	text := size - len(name) - len("=")
	return name + "=" + sealText(newAEAD(), random((text*3+3)/4-sealOverhead))
}

// floorUser opens the identity part alone, and hands it on.
func floorUser(aead cipher.AEAD, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := r.Cookie(cookieFloorUser)
		must(err)
		user := openText(aead, c.Value)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, user)))
	})
}

// floorAll opens both parts.
func floorAll(aead cipher.AEAD, next http.Handler) http.Handler {
	return floorUser(aead, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := r.Cookie(cookieFloorToken)
		must(err)
		_ = openText(aead, c.Value)
		next.ServeHTTP(w, r)
	}))
}

// storedSession is what an app by hand keeps.
type storedSession struct {
	Subject, Name, Email, IDToken, AccessToken, RefreshToken string
	Expiry                                                   int64
}

func typicalSession() storedSession {
	jws := func(n int) string { return random(40) + "." + random(n-40-342-2) + "." + random(342) }
	return storedSession{"alice", "Alice Example", "alice@example.com", jws(1200), jws(1200), random(43), 1_799_000_000}
}

func (v *storedSession) values() map[string]string {
	return map[string]string{
		"sub": v.Subject, "name": v.Name, "email": v.Email, "id_token": v.IDToken, "access_token": v.AccessToken, "refresh_token": v.RefreshToken,
	}
}

func sessionPeers(ctx context.Context, size map[string]int) ([]contender, error) {
	gob, err := gorillaPeer(ctx, "gorilla CookieStore, gob", securecookie.GobEncoder{}, size)
	if err != nil {
		return nil, err
	}
	text, err := gorillaPeer(ctx, "gorilla CookieStore, JSON", jsonValues{}, size)
	if err != nil {
		return nil, err
	}
	z, err := zitadelCookie(ctx, size)
	if err != nil {
		return nil, err
	}
	m, err := scsPeer(ctx, "scs, memory", scs.New(), size)
	return []contender{m, z, gob, text}, err
}

// gorillaPeer keeps the session in gorilla's cookie, whose own limit of 4,096 bytes it exceeds.
func gorillaPeer(ctx context.Context, name string, encoder securecookie.Serializer, size map[string]int) (contender, error) {
	codec := securecookie.New(cookieKey, cookieKey).SetSerializer(encoder)
	codec.MaxLength(0)
	store := &sessions.CookieStore{Codecs: []securecookie.Codec{codec}, Options: &sessions.Options{Path: "/"}}
	return gorillaStorePeer(ctx, name, store, size)
}

// jsonValues encodes a gorilla session's values as JSON, which needs names that are strings.
type jsonValues struct{}

// Serialize implements securecookie.Serializer.
func (jsonValues) Serialize(src any) ([]byte, error) {
	values := map[string]any{}
	for k, v := range src.(map[any]any) { //nolint:forcetypeassert // what gorilla passes
		values[k.(string)] = v //nolint:forcetypeassert // ours are
	}
	return json.Marshal(values)
}

// Deserialize implements securecookie.Serializer.
func (jsonValues) Deserialize(src []byte, dst any) error {
	var values map[string]any
	if err := json.Unmarshal(src, &values); err != nil {
		return err
	}
	for k, v := range values {
		(*dst.(*map[any]any))[k] = v //nolint:forcetypeassert // what gorilla passes
	}
	return nil
}

// fillGorilla saves the session and returns the cookies that it set.
func fillGorilla(ctx context.Context, store sessions.Store) (string, error) {
	v := typicalSession()
	rec := httptest.NewRecorder()
	first := navigation(ctx, "/", "")
	s, err := store.Get(first, "session")
	if err != nil {
		return "", err
	}
	for name, text := range v.values() {
		s.Values[name] = text
	}
	err = s.Save(first, rec)
	return cookieLine(rec), err
}

// gorillaStorePeer measures any gorilla store.
func gorillaStorePeer(ctx context.Context, name string, store sessions.Store, size map[string]int) (contender, error) {
	cookies, err := fillGorilla(ctx, store)
	if err != nil {
		return contender{}, err
	}
	size[name] = len(cookies)
	r := navigation(ctx, "/", cookies)
	return contender{name, func() {
		s, err := store.Get(r.WithContext(ctx), "session") // a request of its own, or gorilla remembers it
		must(err)
		if token, ok := s.Values["access_token"].(string); !ok || len(token) != 1200 {
			panic("bench: " + name + " lost the session")
		}
	}}, nil
}

// cookieLine is what a browser sends back.
func cookieLine(rec *httptest.ResponseRecorder) string {
	var list []string
	for _, c := range rec.Result().Cookies() {
		list = append(list, c.Name+"="+c.Value)
	}
	return strings.Join(list, "; ")
}

func zitadelCookie(ctx context.Context, size map[string]int) (contender, error) {
	const name = "zitadel's cookie handler"
	codec := securecookie.New(cookieKey, cookieKey)
	codec.MaxLength(0) // zitadel's own handler would refuse a session of this size
	h := zhttp.NewRequestAwareCookieHandler(func(*http.Request) (*securecookie.SecureCookie, error) { return codec, nil })
	v := typicalSession()
	text, err := json.Marshal(v) //nolint:gosec // invented tokens
	if err != nil {
		return contender{}, err
	}
	rec := httptest.NewRecorder()
	if err := h.SetRequestAwareCookie(navigation(ctx, "/", ""), rec, "session", string(text)); err != nil {
		return contender{}, err
	}
	cookies := cookieLine(rec)
	size[name] = len(cookies)
	r := navigation(ctx, "/", cookies)
	return contender{name, func() {
		if _, err := h.CheckCookie(r, "session"); err != nil {
			panic(err)
		}
	}}, nil
}

// scsPeer measures scs with the store that m has.
func scsPeer(ctx context.Context, name string, m *scs.SessionManager, size map[string]int) (contender, error) {
	v := typicalSession()
	rec := httptest.NewRecorder()
	fill := m.LoadAndSave(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		for name, text := range v.values() {
			m.Put(r.Context(), name, text)
		}
	}))
	fill.ServeHTTP(rec, navigation(ctx, "/", ""))
	cookies := cookieLine(rec)
	if cookies == "" {
		return contender{}, fmt.Errorf("%s set no cookie", name)
	}
	size[name] = len(cookies)
	load := m.LoadAndSave(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if m.GetString(r.Context(), "access_token") != v.AccessToken {
			panic("bench: " + name + " lost the session")
		}
	}))
	return contender{name, serve(load, navigation(ctx, "/", cookies), http.StatusOK)}, nil
}
