package middleware_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
)

// Lines of group K that are not here:
//   - K01: every world of the attack rows searches its log, events, pages, headers and cookies at its end
//   - K03: TestCallbackError; K05 to K08, K10: rp's, but for the redirect URL of TestConfig
//   - K09: middleware has no option that switches a check off
//   - K11, K13: the suite as a whole runs with the race detector; FIPS and 32 bit are CI's
//   - K12: TestSeveral

var discard = slog.New(slog.DiscardHandler)

// TestCanary shows that the search for secrets finds what there is.
func TestCanary(t *testing.T) {
	t.Parallel()
	for name, leak := range map[string]func(w *world, secret string){
		"K01_log": func(w *world, secret string) { slog.New(slog.NewTextHandler(w.spoken, nil)).Info("x", "y", secret) },
		"K01_event": func(w *world, secret string) {
			w.spoken.observe(t.Context(), rp.Event{Err: fmt.Errorf("x: %s", secret)})
		},
		"K01_body": func(w *world, secret string) { w.spoken.reply("x", &reply{Response: &http.Response{}, body: secret}) },
		"K01_header": func(w *world, secret string) {
			w.spoken.reply("x", &reply{Response: &http.Response{Header: http.Header{"Location": {"/?" + secret}}}})
		},
		"K01_cookie": func(w *world, secret string) { w.spoken.cookie("__Host-x=" + secret + "; Path=/") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.visitor().login("/auth/login", "")
			kinds := map[string]bool{}
			for secret, kind := range w.spoken.secrets {
				if strings.ContainsFunc(secret, func(r rune) bool { return r < ' ' || r > '~' }) {
					continue // a key as it is; logs would quote it, and its other spellings are looked for too
				}
				copied, found := *w, &failures{TB: t}
				copied.TB = found
				copied.spoken = &spoken{secrets: map[string]string{secret: kind}}
				leak(&copied, secret)
				if copied.noSecretWasSpoken(); found.n == 0 {
					t.Errorf("a %s is not found", kind)
				}
				kinds[kind] = true
			}
			for _, kind := range []string{"code", "code_verifier", "state", "nonce", "id_token", "access_token", "refresh_token", "credentials", "cookie key"} {
				if !kinds[kind] {
					t.Errorf("no %s is looked for", kind)
				}
			}
		})
	}
}

// failures counts what a test would report.
type failures struct {
	testing.TB
	n int
}

func (f *failures) Errorf(string, ...any) { f.n++ }

// TestRedaction prints what a program might print (K02).
func TestRedaction(t *testing.T) {
	t.Parallel()
	key := attackKey("one")
	w := newWorld(t)
	v := w.visitor()
	v.login("/auth/login", "")
	config := middleware.Config{Client: w.client, Keys: [][]byte{key}, Name: "t", Now: w.clock.Now, Observe: w.spoken.observe, Logger: discard}
	values := map[string]any{"Config": config, "Config pointer": &config, "Auth": w.auth, "Error": &middleware.Error{Code: "x", Err: rp.ErrState}}
	w.page = func(_ http.ResponseWriter, r *http.Request) {
		s := middleware.FromContext(r.Context())
		_, _ = s.Token(r.Context())
		first, _ := s.First()
		values["Session"], values["Session value"], values["ID Token"] = s, *s, first
		values["HTTP client"], values["context"] = s.HTTPClient(site), r.Context()
		values["token source"], values["transport"] = s.For(rp.Target{}), w.auth.TransportFor(rp.Target{}, nil, site)
		values["token source of a target"] = s.For(rp.Target{Resource: site})
		_, values["tokens error"] = s.Tokens()
	}
	v.open("/tokens")
	hook := newWorld(t, func(s *settings) {
		s.auth.OnTokens = func(l *middleware.Login, tokens *rp.Tokens) error {
			values["Tokens"], values["Login's ID Token"] = tokens, l.IDToken
			return nil
		}
	})
	hook.visitor().login("/auth/login", "")
	f, _, grant := granted(t)
	offline, err := f.auth.Offline(t.Context(), grant)
	if err != nil {
		t.Fatal(err)
	}
	f.spoken.secret("grant", grant)
	devices, err := f.auth.Sessions(t.Context(), f.client.Issuer(), "alice")
	if err != nil || len(devices) != 1 {
		t.Fatalf("%d sessions: %v", len(devices), err)
	}
	values["token source of a grant"], values["transport of a grant"] = offline, rp.Transport(offline, nil, site)
	values["client of a grant"] = &http.Client{Transport: rp.Transport(offline, nil, site)}
	values["session of a list"], values["sessions of a list"] = devices[0], devices
	secrets := newFinder()
	secrets.add("alice@example.com", "email address")
	for _, from := range []*world{w, hook, f.world} {
		for value, kind := range from.spoken.secrets {
			secrets.add(value, kind)
		}
		for _, value := range from.spoken.values {
			secrets.add(value, "cookie")
		}
	}
	for name, value := range values {
		t.Run("K02_"+name, func(t *testing.T) {
			var b bytes.Buffer
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				if strings.HasPrefix(name, "context") && verb != "%v" {
					continue
				}
				fmt.Fprintf(&b, verb+"\n", value)
			}
			if text, err := json.Marshal(value); err == nil {
				b.Write(text)
			}
			slog.New(slog.NewTextHandler(&b, nil)).Info("x", "value", value)
			slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "value", value)
			_ = gob.NewEncoder(&b).Encode(value) // most refuse
			secrets.search(t, b.String())
			if strings.Contains(b.String(), fmt.Sprintf("%x", key)) {
				t.Error("the key in hexadecimal")
			}
		})
	}
}

// TestConfig is refused at start (K04, K05).
func TestConfig(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := func() middleware.Config {
		return middleware.Config{Client: w.client, Keys: [][]byte{attackKey("one")}, Now: w.clock.Now, Logger: discard}
	}
	if _, err := middleware.New(good()); err != nil {
		t.Fatalf("control: %v", err)
	}
	random := attackKey("one")
	for name, change := range map[string]func(*middleware.Config){
		"K04_no_key":                    func(c *middleware.Config) { c.Keys = nil },
		"K04_empty_key":                 func(c *middleware.Config) { c.Keys = [][]byte{{}} },
		"K04_short_key":                 func(c *middleware.Config) { c.Keys = [][]byte{random[:31]} },
		"K04_zero_key":                  func(c *middleware.Config) { c.Keys = [][]byte{make([]byte, 32)} },
		"K04_one_byte_again_and_again":  func(c *middleware.Config) { c.Keys = [][]byte{bytes.Repeat([]byte{7}, 32)} },
		"K04_pattern":                   func(c *middleware.Config) { c.Keys = [][]byte{bytes.Repeat([]byte("abcdefgh"), 4)} },
		"K04_counter":                   func(c *middleware.Config) { c.Keys = [][]byte{[]byte("0123456789abcdefghijklmnopqrstuv")} },
		"K04_changeme":                  func(c *middleware.Config) { c.Keys = [][]byte{[]byte("changeme-changeme-please-32-byte")} },
		"K04_secret_of_an_example":      func(c *middleware.Config) { c.Keys = [][]byte{[]byte("my-very-secret-session-key-12345")} },
		"K04_second_key_is_weak":        func(c *middleware.Config) { c.Keys = [][]byte{random, make([]byte, 32)} },
		"K04_password":                  func(c *middleware.Config) { c.Keys = [][]byte{[]byte("correct-password-battery-staple!")} },
		"K05_name_with_a_dash":          func(c *middleware.Config) { c.Name = "a-b" },
		"K05_name_that_breaks_the_line": func(c *middleware.Config) { c.Name = "a\r\nSet-Cookie: x" },
		"K05_name_that_ends_a_cookie":   func(c *middleware.Config) { c.Name = "a;b" },
		"K05_name_too_long":             func(c *middleware.Config) { c.Name = strings.Repeat("a", 33) },
		"K05_prefix_without_a_slash":    func(c *middleware.Config) { c.PublicPrefix = "evil.example" },
		"K05_prefix_of_another_host":    func(c *middleware.Config) { c.PublicPrefix = "//evil.example" },
		"K05_prefix_with_dots":          func(c *middleware.Config) { c.PublicPrefix = "/a/../b" },
		"K09_idle_below_zero":           func(c *middleware.Config) { c.Idle = -1 },
		"K09_absolute_without_an_end":   func(c *middleware.Config) { c.Absolute = 1 << 62 },
		"K09_login_without_an_end":      func(c *middleware.Config) { c.LoginTimeout = 1 << 62 },
		"K09_login_of_a_second":         func(c *middleware.Config) { c.LoginTimeout = time.Second },
		"K09_code_of_a_millisecond":     func(c *middleware.Config) { c.CodeLifetime = time.Millisecond },
		"K09_code_without_an_end":       func(c *middleware.Config) { c.CodeLifetime = 1 << 62 },
		"K09_idle_of_a_second":          func(c *middleware.Config) { c.Idle = time.Second },
		"K09_idle_over_absolute":        func(c *middleware.Config) { c.Idle, c.Absolute = time.Hour, time.Minute },
		"K09_unknown_exchange":          func(c *middleware.Config) { c.Exchange = 9 },
		"K09_no_client":                 func(c *middleware.Config) { c.Client = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := good()
			change(&c)
			auth, err := middleware.New(c)
			if err == nil || auth != nil {
				t.Fatal("accepted")
			}
			for _, key := range c.Keys {
				if len(key) > 8 && strings.Contains(err.Error(), string(key)) {
					t.Error("the error shows the key")
				}
			}
		})
	}
	for name, redirect := range map[string]string{
		"K05_plain_http":          "http://app.example/auth/callback",
		"K05_plain_http_in_a_lan": "http://192.168.0.1/auth/callback",
		"K05_no_path":             "https://app.example",
		"K05_root":                "https://app.example/",
		"K05_path_with_dots":      "https://app.example/auth/../callback",
		"K05_path_twice":          "https://app.example//callback",
		"K05_pattern_of_a_mux":    "https://app.example/{x}/callback",
		"K05_name_of_a_route":     "https://app.example/auth/login",
		"K05_encoded_slash":       "https://app.example/auth%2fcallback",
		"K05_fragment":            "https://app.example/auth/callback#x",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, err := rp.New(t.Context(), rp.Config{
				Issuer: w.op.URL, ClientID: "app", ClientAuth: rp.SecretBasic(attackSecret), RedirectURL: redirect, Logger: discard, Insecure: rp.Insecure{PlainHTTP: true},
			})
			if err != nil {
				return // rp has refused it
			}
			defer client.Close()
			c := good()
			c.Client = client
			if _, err := middleware.New(c); err == nil {
				t.Error("accepted")
			}
		})
	}
	t.Run("K09_configuration_is_frozen", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		keys := [][]byte{attackKey("one")}
		claims := []string{"email"}
		other := *w
		other.mux = http.NewServeMux()
		other.app = other.mux
		other.auth = other.newAuth(middleware.Config{Client: w.client, Keys: keys, SessionClaims: claims, Name: "t", Now: w.clock.Now, Observe: w.spoken.observe, Logger: discard})
		other.register(other.auth)
		v := other.visitor()
		v.login("/auth/login", "")
		for i := range keys[0] {
			keys[0][i] = 0
		}
		claims[0] = "name"
		if v.id() == "" || v.on(w).id() == "" {
			t.Error("a key that is changed later is another key")
		}
	})
}
