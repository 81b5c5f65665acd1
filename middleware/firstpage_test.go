package middleware_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// BenchmarkFirstPage measures what a user waits for at the end of a login: from the POST of the provider's answer to the
// page that it leads to, for a code that is spent now and on demand, and a token endpoint that takes its time. Its numbers
// are in docs/sessions.md:
//
//	go test ./middleware -run '^$' -bench FirstPage -benchtime 20x
func BenchmarkFirstPage(b *testing.B) {
	for name, mode := range map[string]middleware.ExchangeMode{"now": middleware.ExchangeNow, "on_demand": middleware.ExchangeOnDemand} {
		for _, delay := range []time.Duration{0, 100 * time.Millisecond, time.Second} {
			b.Run(fmt.Sprintf("%s/%dms", name, delay.Milliseconds()), func(b *testing.B) { firstPage(b, mode, delay) })
		}
	}
}

func firstPage(b *testing.B, mode middleware.ExchangeMode, delay time.Duration) {
	quiet := slog.New(slog.DiscardHandler)
	op := optest.NewServer(optest.Config{ClientID: "app", ClientSecret: attackSecret})
	b.Cleanup(op.Close)
	op.Fault(func(a *optest.Answer) {
		if a.Endpoint == "/oauth/token" {
			a.Delay = delay
		}
	})
	client, err := rp.New(b.Context(), rp.Config{
		Issuer: op.URL, ClientID: "app", ClientAuth: rp.SecretBasic(attackSecret), RedirectURL: site + "/auth/callback",
		Insecure: rp.Insecure{PlainHTTP: true}, Logger: quiet,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = client.Close() })
	auth, err := middleware.New(middleware.Config{
		Client: client, Keys: [][]byte{attackKey("one")}, Name: "t", Exchange: mode, Logger: quiet,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = auth.Close() })
	mux := http.NewServeMux()
	auth.Register(mux)
	mux.Handle("/private", auth.RequireLogin(http.HandlerFunc(whoami)))
	var waits []time.Duration
	for b.Loop() {
		b.StopTimer()
		callback := answered(b, op, mux)
		b.StartTimer()
		began := time.Now()
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, callback)
		page := navigation(w.Header().Get("Location"))
		for _, c := range w.Result().Cookies() {
			if c.MaxAge > 0 {
				page.AddCookie(c)
			}
		}
		w = httptest.NewRecorder()
		mux.ServeHTTP(w, page)
		if w.Code != http.StatusOK {
			b.Fatalf("%d %s", w.Code, w.Body)
		}
		waits = append(waits, time.Since(began))
	}
	slices.Sort(waits)
	b.ReportMetric(waits[len(waits)/2].Seconds()*1000, "median-ms")
}

// answered is the POST of the provider's answer to a new login.
func answered(b *testing.B, op *optest.Server, app http.Handler) *http.Request {
	b.Helper()
	w := httptest.NewRecorder()
	app.ServeHTTP(w, navigation("/auth/login?return_to=/private"))
	browser := optest.NewBrowser(op.Client())
	browser.Stop = func(_ string, u *url.URL) bool { return u.Host == "app.example" }
	page, err := browser.Open(b.Context(), w.Header().Get("Location"))
	if err != nil || len(page.Forms()) != 1 {
		b.Fatalf("no answer: %v", err)
	}
	callback := formPost("/auth/callback", page.Forms()[0].Fields)
	for _, c := range w.Result().Cookies() {
		callback.AddCookie(c)
	}
	return callback
}
