package middleware_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestCallbackError sends hostile texts as the provider's error.
func TestCallbackError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, field := range map[string][2]string{
		"A24_script":         {"error_description", `<script>alert(1)</script>"'><img src=x onerror=alert(1)>`},
		"A24_line_breaks":    {"error_description", "a\r\nSet-Cookie: x=y\r\n\r\nlevel=ERROR msg=forged"},
		"A24_long":           {"error_description", strings.Repeat("lorem ipsum ", 8000)},
		"A24_right_to_left":  {"error_description", "\u202egnp.exe\u2066\u200f"},
		"A24_invalid_UTF_8":  {"error_description", "\xff\xfe\xc0\xaf"},
		"A24_terminal":       {"error_description", "\x1b[2J\x1b]0;x\x07\u009b31m"},
		"A24_hostile_code":   {"error", "<svg onload=alert(1)>\r\nX: y"},
		"A24_long_code":      {"error", strings.Repeat("e", 100_000)},
		"A25_javascript_uri": {"error_uri", "javascript:alert(document.domain)"},
		"A25_evil_uri":       {"error_uri", "https://evil.example/help"},
		"A25_data_uri":       {"error_uri", "data:text/html,<script>alert(1)</script>"},
		"H42_error_template": {"error", "{{.}}${7*7}"},
	} {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.TB = t
			c := w.visitor().answer("/auth/login", "").callback()
			c.form = url.Values{"error": {"access_denied"}, "state": c.form["state"]}
			c.form.Set(field[0], field[1])
			texts := len(w.spoken.texts)
			rep := w.serve(c.build())
			w.refused(rep, 403, "provider_error")
			for _, part := range []string{"<script", "<img", "<svg", "alert(1)", "evil.example", "javascript:", "data:", "lorem ipsum", "\x1b", "\u202e", "forged", "49"} {
				if part != "49" && strings.Contains(rep.body, part) {
					t.Errorf("the page shows %q", part)
				}
			}
			for name, values := range rep.Header {
				for _, v := range values {
					if strings.ContainsAny(v, "\r\n\x00") || strings.Contains(v, "forged") || name == "X" {
						t.Errorf("header %s: %q", name, v)
					}
				}
			}
			t.Run("K03_what_is_logged", func(t *testing.T) {
				w.spoken.mu.Lock()
				defer w.spoken.mu.Unlock()
				for _, text := range w.spoken.texts[texts:] {
					if strings.HasPrefix(text, "body: ") || strings.HasPrefix(text, "Content") {
						continue
					}
					if len(text) > 3000 || strings.ContainsAny(strings.TrimSuffix(text, "\n"), "\r\n\x1b\x00\u202e\u2066\u009b") {
						t.Errorf("logged %d bytes: %.300q", len(text), text)
					}
				}
			})
		})
	}
}

// TestCallbackResources sends what costs the app more than the attacker, if it is not careful.
func TestCallbackResources(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	t.Run("A37_reads_no_more_than_its_limit", func(t *testing.T) {
		c := w.visitor().answer("/auth/login", "").callback()
		body := &countingReader{left: 10 << 20}
		c.request = func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(body), -1 }
		w.refused(w.serve(c.build()), 413, "body_too_large")
		if body.read > 256<<10 {
			t.Errorf("read %d bytes", body.read)
		}
	})
	t.Run("A35_file_named_id_token", func(t *testing.T) {
		c := w.visitor().answer("/auth/login", "").callback()
		c.header.Set("Content-Type", "multipart/form-data; boundary=b")
		c.body = "--b\r\nContent-Disposition: form-data; name=\"id_token\"; filename=\"x\"\r\n\r\nx\r\n--b--\r\n"
		r := c.build()
		body := &countingReader{left: 40 << 20}
		r.Body = io.NopCloser(body)
		w.refused(w.serve(r), 415, "content_type")
		if body.read != 0 || r.MultipartForm != nil {
			t.Errorf("read %d bytes, form %v", body.read, r.MultipartForm)
		}
	})
	t.Run("A40_slow_body_has_a_deadline", func(t *testing.T) {
		c := w.visitor().answer("/auth/login", "").callback()
		rec := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		start := time.Now()
		w.mux.ServeHTTP(rec, c.build())
		if len(rec.read) != 2 || rec.read[0].After(start.Add(30*time.Second)) || rec.read[0].Before(start.Add(time.Second)) || !rec.read[1].IsZero() {
			t.Errorf("read deadlines %v", rec.read)
		}
	})
	t.Run("A40_body_breaks_off", func(t *testing.T) {
		a := w.visitor().answer("/auth/login", "")
		c := a.callback()
		body := io.MultiReader(bytes.NewReader([]byte(a.form.Encode()[:40])), brokenReader{})
		c.request = func(r *http.Request) { r.Body = io.NopCloser(body) }
		w.refused(w.serve(c.build()), 400, "body")
		if rep := a.post(); rep.StatusCode != 303 {
			t.Error("the login does not go on")
		}
	})
}

type countingReader struct{ left, read int }

func (c *countingReader) Read(b []byte) (int, error) {
	n := min(len(b), c.left)
	c.left -= n
	c.read += n
	for i := range n {
		b[i] = 'a'
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

type deadlines struct {
	*httptest.ResponseRecorder
	read []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error { d.read = append(d.read, t); return nil }

func TestCallbackMethodAndPath(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.visitor().answer("/auth/login", "")
	for _, method := range []string{"HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "post", "POSTS"} {
		for name, handler := range map[string]http.Handler{"mux": w.mux, "auth": w.auth} {
			t.Run("A46_"+method+"_"+name, func(t *testing.T) {
				w := *w
				w.TB, w.app = t, handler
				c := a.callback()
				c.method = method
				r := c.build()
				if method == "CONNECT" { // else httptest makes an authority of it
					c.method = "GET"
					r = c.build()
					r.Method = method
				}
				rep := w.serve(r)
				if rep.StatusCode != 405 || !strings.Contains(rep.Header.Get("Allow"), "POST") || rep.Header["Set-Cookie"] != nil {
					t.Errorf("%d, Allow %q", rep.StatusCode, rep.Header.Get("Allow"))
				}
			})
		}
	}
	for _, path := range []string{
		"//auth/callback", "/auth//callback", "/auth/callback/", "/auth/CALLBACK", "/AUTH/callback", "/auth/callback;x", "/auth%2fcallback",
		"/%61uth/callback%00", "/auth/callback%20", "/auth/callback.", "/auth/./callback", "/auth/x/../callback", "/auth/callback%2f", "/auth/callback%3f",
		"/auth/callback/x", "/callback", "/auth", "/auth/", `/auth\callback`, "/auth/%2e/callback",
	} {
		for name, handler := range map[string]http.Handler{"mux": w.mux, "auth": w.auth} {
			t.Run("A48_"+strings.ReplaceAll(path, "/", "_")+"_"+name, func(t *testing.T) {
				w := *w
				w.TB, w.app = t, handler
				c := a.callback()
				c.target = path
				rep := w.serve(c.build())
				toItself := rep.StatusCode == 307 && rep.Header.Get("Location") == "/auth/callback" // the mux cleans paths
				if rep.StatusCode != 404 && !toItself || rep.Header["Set-Cookie"] != nil {
					t.Errorf("%d %s", rep.StatusCode, rep.Header.Get("Location"))
				}
			})
		}
	}
	if rep := a.post(); rep.StatusCode != 303 {
		t.Errorf("one of them used the transaction up: %d %s", rep.StatusCode, rep.code())
	}
}
