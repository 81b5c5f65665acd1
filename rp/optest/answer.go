package optest

import (
	"crypto/rand"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// send lets the hook lie, and sends what comes of it.
func (h *Handler) send(w http.ResponseWriter, r *http.Request, a *Answer) {
	h.lie(a)
	if !h.wait(r, a.Delay) {
		panic(http.ErrAbortHandler) // nobody waits any more, or the server closes
	}
	switch {
	case a.Reset:
		reset(w)
	case a.Respond != nil:
		a.Respond(w, r)
	default:
		body := a.render()
		for name, values := range a.HTTPHeader {
			w.Header()[name] = values
		}
		w.WriteHeader(a.Status)
		_, _ = w.Write(body) // an error means that the client has gone
	}
}

// wait reports false if there is nobody to answer.
func (h *Handler) wait(r *http.Request, d time.Duration) bool {
	if d == 0 {
		return true
	}
	var over <-chan time.Time // never, if d is negative
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
		return true
	case <-r.Context().Done():
	case <-h.done:
	}
	return false
}

// reset closes the connection so that the client's system sees a reset and no orderly end.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	inner := conn
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		inner = t.NetConn()
	}
	if tcp, ok := inner.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = inner.Close()
}

// render makes the body and what of the header depends on it.
func (a *Answer) render() []byte {
	switch {
	case a.Body != nil:
		return a.Body
	case a.Params != nil:
		return a.renderResponse()
	case a.Endpoint == pathUserInfo && a.Claims != nil:
		return a.renderUserInfo()
	case a.JSON != nil:
		return mustEncode(a.JSON)
	}
	return nil
}

func (a *Answer) renderUserInfo() []byte {
	if a.Header == nil {
		return mustEncode(a.Claims)
	}
	return []byte(a.signed())
}

// renderResponse carries the parameters to the client in the response mode.
func (a *Answer) renderResponse() []byte {
	switch a.Mode {
	case modeFormPost:
		return a.page("form_post", formPostPage{Action: a.RedirectURI, Params: a.Params}, origin(a.RedirectURI))
	case modeFragment:
		target, _, _ := strings.Cut(a.RedirectURI, "#")
		a.HTTPHeader.Set("Location", target+"#"+a.Params.Encode())
	default:
		a.HTTPHeader.Set("Location", appendQuery(a.RedirectURI, a.Params))
	}
	return nil
}

// page renders one of the provider's pages. Its policy permits nothing but its own style and script, and forms that go
// to the provider itself or to formAction; browsers check the redirects that follow a form too.
func (a *Answer) page(name string, data any, formAction string) []byte {
	nonce := rand.Text()
	var b strings.Builder
	if err := pages.ExecuteTemplate(&b, name, pageData{Nonce: nonce, Data: data}); err != nil {
		panic("optest: " + err.Error())
	}
	if a.HTTPHeader.Get("Content-Type") == "" {
		a.HTTPHeader.Set("Content-Type", "text/html; charset=utf-8")
	}
	if a.HTTPHeader.Get("Content-Security-Policy") == "" {
		a.HTTPHeader.Set("Content-Security-Policy", "default-src 'none'; script-src 'nonce-"+nonce+"'; style-src 'nonce-"+nonce+
			"'; base-uri 'none'; frame-ancestors 'none'; form-action "+strings.TrimSpace("'self' "+formAction)+a.frameSources)
	}
	a.HTTPHeader.Set("X-Content-Type-Options", "nosniff")
	return []byte(b.String())
}

// origin of a URL, or "" if it has none.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
