package optest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/rp/optest"
)

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// receiver is an app that writes down what comes to its logout URIs.
type receiver struct {
	*httptest.Server
	status int

	mu  sync.Mutex
	got []heard
}

// heard is a request with the form of its body.
type heard struct {
	*http.Request
	body url.Values
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{status: http.StatusOK}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	form, _ := url.ParseQuery(string(body))
	r.mu.Lock()
	r.got = append(r.got, heard{request, form})
	r.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: "third", Value: "party", Secure: true, SameSite: http.SameSiteNoneMode})
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(r.status)
	_, _ = io.WriteString(w, "heard")
}

func (r *receiver) requests() []heard {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]heard{}, r.got...)
}

func logoutWorld(t *testing.T, c optest.Config) (*world, *receiver) {
	t.Helper()
	app := newReceiver(t)
	c.BackchannelLogoutURL = app.URL + "/bcl"
	if c.ClientID == "" {
		c.ClientID, c.ClientSecret = clientID, secret
	}
	return newWorld(t, c), app
}

// sidOf logs in and returns the sid.
func sidOf(w *world, changes ...string) string {
	w.t.Helper()
	_, claims := w.verify(w.login(changes...).Get("id_token"))
	sid, _ := claims["sid"].(string)
	if sid == "" {
		w.t.Fatal("no sid")
	}
	return sid
}

func TestSidIsTheLoginAtTheProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t, optest.Config{ClientID: clientID, ClientSecret: secret, Claims: map[string]any{"session_expiry": int64(1_900_000_000)}})
	got := w.login()
	_, first := w.verify(got.Get("id_token"))
	status, tokens := w.exchange(got.Get("code"))
	if status != http.StatusOK {
		t.Fatal(tokens)
	}
	_, second := w.verify(tokens["id_token"])
	_, tokens = w.renew(fmt.Sprint(tokens["refresh_token"]))
	_, third := w.verify(tokens["id_token"])
	if first["sid"] != second["sid"] || first["sid"] != third["sid"] || first["sid"] != sidOf(w) {
		t.Errorf("sid %v, %v, %v", first["sid"], second["sid"], third["sid"])
	}
	if first["session_expiry"] != 1.9e9 || second["session_expiry"] != 1.9e9 {
		t.Errorf("session_expiry %v, %v", first["session_expiry"], second["session_expiry"])
	}
	w.b = optest.NewBrowser(nil)
	if sidOf(w) == first["sid"] {
		t.Error("two browsers, one sid")
	}
}

func TestLogoutSession(t *testing.T) {
	t.Parallel()
	now := newClock()
	w, app := logoutWorld(t, optest.Config{Now: now.Now})
	sid := sidOf(w)
	if list := w.op.LogoutSession(t.Context(), "unknown"); list != nil {
		t.Errorf("%+v", list)
	}
	list := w.op.LogoutSession(t.Context(), sid)
	if len(list) != 1 || list[0].Status != http.StatusOK || string(list[0].Body) != "heard" || list[0].Header.Get("Cache-Control") != "no-store" ||
		list[0].ClientID != clientID || list[0].Err != nil {
		t.Fatalf("%+v", list)
	}
	got := app.requests()
	if len(got) != 1 || got[0].Method != http.MethodPost || got[0].URL.Path != "/bcl" || len(got[0].body["logout_token"]) != 1 || len(got[0].body) != 1 ||
		got[0].URL.RawQuery != "" {
		t.Fatalf("%+v", got)
	}
	header, claims := w.verify(got[0].body.Get("logout_token"))
	if header.ExtraHeaders["typ"] != "logout+jwt" {
		t.Errorf("typ %v", header.ExtraHeaders)
	}
	events, _ := claims["events"].(map[string]any)
	event, ok := events[logoutEvent].(map[string]any)
	if claims["iss"] != w.op.URL || claims["aud"] != clientID || claims["sub"] != "alice" || claims["sid"] != sid || claims["jti"] == "" ||
		claims["iat"] != float64(now.Now().Unix()) || claims["exp"] != float64(now.Now().Add(2*time.Minute).Unix()) || !ok || len(event) != 0 || len(claims) != 8 {
		t.Errorf("%v", claims)
	}
	if got := w.login("prompt", "none"); got.Get("error") != "login_required" {
		t.Errorf("the login is still there: %v", got)
	}
	if list := w.op.LogoutSession(t.Context(), sid); list != nil {
		t.Errorf("twice: %+v", list)
	}
	if len(w.op.Deliveries()) != 1 {
		t.Errorf("%+v", w.op.Deliveries())
	}
}

func TestLogoutUser(t *testing.T) {
	t.Parallel()
	w, app := logoutWorld(t, optest.Config{})
	first, second, bob := w.b, optest.NewBrowser(nil), optest.NewBrowser(nil)
	sidOf(w)
	w.b = second
	sidOf(w)
	w.b = bob
	sidOf(w, "login_hint", "bob")
	if list := w.op.LogoutUser(t.Context(), "alice"); len(list) != 1 || list[0].Status != http.StatusOK {
		t.Fatalf("%+v", list)
	}
	_, claims := w.verify(app.requests()[0].body.Get("logout_token"))
	if _, ok := claims["sid"]; ok || claims["sub"] != "alice" {
		t.Errorf("%v", claims)
	}
	for b, want := range map[*optest.Browser]string{first: "login_required", second: "login_required", bob: ""} {
		w.b = b
		if got := w.login("prompt", "none"); got.Get("error") != want {
			t.Errorf("%v, want %q", got, want)
		}
	}
	if list := w.op.LogoutUser(t.Context(), "nobody"); list != nil {
		t.Errorf("%+v", list)
	}
}

func TestEachClientOfALoginHears(t *testing.T) {
	t.Parallel()
	app := newReceiver(t)
	w := newWorld(t, optest.Config{}) // takes any client
	w.op.SetLogoutURLs(app.URL+"/later", "")
	sid := sidOf(w, "client_id", "one")
	if again := sidOf(w, "client_id", "two"); again != sid {
		t.Fatalf("%s and %s", sid, again)
	}
	list := w.op.LogoutSession(t.Context(), sid)
	if len(list) != 2 || list[0].ClientID != "one" || list[1].ClientID != "two" || list[1].URL != app.URL+"/later" {
		t.Fatalf("%+v", list)
	}
	for i, want := range []string{"one", "two"} {
		if _, claims := w.verify(list[i].Form.Get("logout_token")); claims["aud"] != want {
			t.Errorf("aud %v", claims["aud"])
		}
	}
}

func TestDeliveriesThatFail(t *testing.T) {
	t.Parallel()
	w, app := logoutWorld(t, optest.Config{LogoutClient: &http.Client{Timeout: time.Minute}})
	sid := sidOf(w)
	app.status = http.StatusBadRequest
	if list := w.op.LogoutSession(t.Context(), sid); len(list) != 1 || list[0].Status != http.StatusBadRequest || list[0].Err != nil {
		t.Errorf("%+v", list)
	}
	sid = sidOf(w)
	app.Close()
	if list := w.op.LogoutSession(t.Context(), sid); len(list) != 1 || list[0].Status != 0 || list[0].Err == nil {
		t.Errorf("%+v", list)
	}
	w.op.SetLogoutURLs("http://127.0.0.1:0/%zz", "")
	sid = sidOf(w)
	if list := w.op.LogoutSession(t.Context(), sid); len(list) != 1 || list[0].Err == nil {
		t.Errorf("%+v", list)
	}
	w.op.SetLogoutURLs("", "")
	if list := w.op.LogoutSession(t.Context(), sidOf(w)); list != nil {
		t.Errorf("%+v", list)
	}
}

// The hostile tokens of group I.
func TestLogoutTokenFaults(t *testing.T) {
	t.Parallel()
	w, app := logoutWorld(t, optest.Config{})
	w.op.Fault(func(a *optest.Answer) {
		if a.Endpoint == "/backchannel-logout" {
			a.Header["typ"] = "JWT"
			a.Claims["nonce"] = "n"
			a.Params.Add("logout_token", "second")
			a.RedirectURI += "?x=y"
		}
	})
	w.op.LogoutSession(t.Context(), sidOf(w))
	got := app.requests()[0]
	header, claims := w.verify(got.body["logout_token"][0])
	if header.ExtraHeaders["typ"] != "JWT" || claims["nonce"] != "n" || len(got.body["logout_token"]) != 2 || got.URL.RawQuery != "x=y" {
		t.Errorf("%v %v %v", header, claims, got.body)
	}
	w.op.Fault(nil)
	_, claims = w.verify(w.op.LogoutToken(map[string]any{"sid": "s", "jti": nil, "aud": []string{"x", "y"}}))
	if _, ok := claims["jti"]; ok || claims["sid"] != "s" || claims["sub"] != nil || fmt.Sprint(claims["aud"]) != "[x y]" {
		t.Errorf("%v", claims)
	}
	w.op.Fault(func(a *optest.Answer) { a.Header["alg"] = "none" })
	if token := w.op.LogoutToken(map[string]any{"sub": "alice"}); !strings.HasSuffix(token, ".") {
		t.Errorf("signed: %s", token)
	}
	if n := len(app.requests()); n != 1 {
		t.Errorf("LogoutToken sent something: %d requests", n)
	}
}

func TestEndSessionPageTellsClients(t *testing.T) {
	t.Parallel()
	landing := framed(t, "", "landing")
	w, app := logoutWorld(t, optest.Config{PostLogoutRedirectURLs: []string{landing.URL + "/landing"}})
	sid := sidOf(w)
	logout := func() *optest.Page {
		t.Helper()
		p := url.Values{"client_id": {clientID}, "post_logout_redirect_uri": {landing.URL + "/landing"}, "state": {"s"}}
		page, err := w.b.Open(t.Context(), w.op.URL+"/logout?"+p.Encode())
		if err != nil {
			t.Fatal(err)
		}
		return page
	}
	if page := logout(); page.URL != landing.URL+"/landing?state=s" || len(page.Frames) != 0 {
		t.Errorf("%s: %s", page.URL, page.Text())
	}
	if got := app.requests(); len(got) != 1 {
		t.Fatalf("%d logout requests", len(got))
	}
	if _, claims := w.verify(app.requests()[0].body.Get("logout_token")); claims["sid"] != sid {
		t.Errorf("%v", claims)
	}
	if logout(); len(app.requests()) != 1 {
		t.Error("a logout of nobody was told")
	}

	w.op.SetLogoutURLs("", app.URL+"/fcl?a=b")
	sid = sidOf(w)
	w.b.SetCookies(app.URL, &http.Cookie{Name: "lax", Value: "1", Secure: true, SameSite: http.SameSiteLaxMode},
		&http.Cookie{Name: "none", Value: "1", Secure: true, SameSite: http.SameSiteNoneMode})
	page := logout()
	if len(page.Frames) != 1 || page.Frames[0].Status != http.StatusOK || string(page.Frames[0].Body) != "heard" {
		t.Fatalf("%d %s %+v", page.Status, page.Body, page.Frames)
	}
	got := app.requests()[1]
	q := got.URL.Query()
	if got.Method != http.MethodGet || got.URL.Path != "/fcl" || q.Get("a") != "b" || q.Get("iss") != w.op.URL || q.Get("sid") != sid || len(q) != 3 {
		t.Errorf("%s", got.URL)
	}
	if got.Header.Get("Cookie") != "" || got.Header.Get("Sec-Fetch-Dest") != "iframe" || got.Header.Get("Sec-Fetch-Site") != "cross-site" {
		t.Errorf("%v", got.Header)
	}
	if cookies := w.b.Cookies(app.URL); len(cookies) != 2 {
		t.Errorf("the frame has set a cookie: %v", cookies)
	}
	page, err := w.b.Refresh(t.Context(), page)
	if err != nil || page.URL != landing.URL+"/landing?state=s" {
		t.Errorf("%v %v", page, err)
	}
}

// framed is a page under a policy, and at /away a redirect.
func framed(t *testing.T, policy, body string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/away" {
			http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusFound)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		if policy != "" {
			w.Header().Set("Content-Security-Policy", policy)
		}
		_, _ = io.WriteString(w, body+"<!-- "+r.Header.Get("Cookie")+" -->")
	}))
	t.Cleanup(s.Close)
	return s
}

func TestFramesOfAPage(t *testing.T) {
	t.Parallel()
	other := newReceiver(t)
	foreign := strings.Replace(other.URL, "127.0.0.1", "localhost", 1)
	frame := `<iframe src="` + foreign + `/x"></iframe>`
	for _, tc := range []struct {
		name, policy, body string
		want               []int // statuses
	}{
		{"loaded", "", frame + frame, []int{200, 200}},
		{"no_src", "", "<iframe></iframe>", nil},
		{"not_http", "", `<iframe src="javascript:1"></iframe>`, nil},
		{"default_src", "default-src 'none'", frame, nil},
		{"frame_src", "default-src 'none'; frame-src " + foreign, frame, []int{200}},
		{"child_src", "child-src 'self'", frame, nil},
		{"two_policies", "frame-src *, frame-src 'none'", frame, nil},
		{"redirect", "", `<iframe src="/away?to=` + url.QueryEscape(foreign) + `"></iframe>`, []int{200}},
		{"redirect_away_from_the_policy", "frame-src 'self'", `<iframe src="/away?to=` + url.QueryEscape(foreign) + `"></iframe>`, []int{0}},
		{"unreachable", "", `<iframe src="http://127.0.0.1:1/"></iframe>`, []int{0}},
		{"script_only", "", `<script>"<iframe src='/x'></iframe>"</script>`, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			page, err := optest.NewBrowser(nil).Open(t.Context(), framed(t, tc.policy, tc.body).URL)
			if err != nil {
				t.Fatal(err)
			}
			var got []int
			for _, f := range page.Frames {
				got = append(got, f.Status)
			}
			if fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}

func TestFramesOfTheSameSiteHaveCookies(t *testing.T) {
	t.Parallel()
	s := framed(t, "", "")
	outer := framed(t, "", `<iframe src="`+s.URL+`/"></iframe>`) // another port is the same site
	b := optest.NewBrowser(nil)
	b.SetCookies(s.URL, &http.Cookie{Name: "strict", Value: "1", SameSite: http.SameSiteStrictMode})
	page, err := b.Open(t.Context(), outer.URL)
	if err != nil || len(page.Frames) != 1 || !strings.Contains(string(page.Frames[0].Body), "strict=1") {
		t.Fatalf("%v %+v", err, page)
	}
}
