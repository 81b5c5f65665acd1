package rp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twofold-auth/twofold/internal/limitbody"
)

// Limits of what a provider may send us. A timeout covers one request with its body.
const (
	requestTimeout  = 10 * time.Second
	maxConnsPerHost = 100 // a slow token endpoint must not eat the process
	maxHeaderBytes  = 64 << 10
	maxMetadata     = 1 << 20
	maxKeys         = 8 << 20
	maxTokens       = 1 << 20
	maxUserInfo     = 1 << 20
)

// newHTTPClient takes the transport and the timeout of the application's client, and nothing else: no cookies travel
// and no redirect is followed, because both would carry secrets to places that nobody named.
func newHTTPClient(given *http.Client) *http.Client {
	client := &http.Client{
		Timeout:       requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if given != nil && given.Timeout > 0 {
		client.Timeout = given.Timeout
	}
	if given != nil && given.Transport != nil {
		client.Transport = given.Transport
		return client
	}
	client.Transport = newTransport()
	return client
}

func newTransport() http.RoundTripper {
	std, ok := http.DefaultTransport.(*http.Transport) //nolint:forbidigo // copied, for proxies and dialing
	if !ok {
		std = &http.Transport{Proxy: http.ProxyFromEnvironment}
	}
	t := std.Clone()
	t.MaxConnsPerHost = maxConnsPerHost
	t.MaxIdleConnsPerHost = 16
	t.MaxResponseHeaderBytes = maxHeaderBytes
	return t
}

// answer is a whole HTTP response, within its limit.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// mediaType is the answer's Content-Type without parameters, in lower case; "" if there is none that can be read.
func (a *answer) mediaType() string {
	t, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}

// shownTypes are the media types that a server is likely to send by mistake.
var shownTypes = []string{
	"application/json", "application/jwt", "application/problem+json", "application/x-www-form-urlencoded", "application/xml",
	"application/octet-stream", "text/html", "text/plain", "text/json", "text/xml",
}

// shownType is a media type as an error may say it: one that a server made up could be a secret of ours.
func shownType(mediaType string) string {
	switch {
	case mediaType == "":
		return "missing"
	case slices.Contains(shownTypes, mediaType):
		return mediaType
	default:
		return "unknown"
	}
}

// send sends r and reads the answer. No error of it holds a body, a query or a header. Over HTTP/1.1 a connection serves
// one request: what follows an answer on a connection that stays open, net/http logs as it is, or takes for the answer to
// the next request, which may be for another user. HTTP/2 numbers its answers.
func (c *Client) send(r *http.Request, limit int64) (*answer, error) {
	_, numbered := c.http2.Load(r.URL.Host)
	r.Close = !numbered
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, unreachable(r.URL, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.ProtoMajor == 2 {
		c.http2.Store(r.URL.Host, nil)
	}
	body, err := limitbody.Read(resp.Body, limit)
	if errors.Is(err, limitbody.ErrTooLarge) {
		return nil, fmt.Errorf("%s: %w", place(r.URL), err)
	}
	if err != nil {
		return nil, unreachable(r.URL, err)
	}
	return &answer{status: resp.StatusCode, header: resp.Header, body: body}, nil
}

// get fetches a public document. Anything but a 200 that is not HTML is an error.
func (c *Client) get(ctx context.Context, rawURL string, limit int64) (*answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, http.NoBody)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	a, err := c.send(r, limit)
	if err != nil {
		return nil, err
	}
	if err := checkDocument(r.URL, a.status, a.mediaType()); err != nil {
		return nil, err
	}
	return a, nil
}

func checkDocument(u *url.URL, status int, mediaType string) error {
	switch {
	case status >= 500 || status == http.StatusTooManyRequests:
		return fmt.Errorf("%s: %w: status %d", place(u), ErrUnavailable, status)
	case status >= 300 && status < 400:
		return fmt.Errorf("%s: status %d: redirects are not followed", place(u), status)
	case status != http.StatusOK:
		return fmt.Errorf("%s: status %d", place(u), status)
	case mediaType == "text/html":
		return fmt.Errorf("%s: answered a web page", place(u))
	}
	return nil
}

// newForm makes a POST of a form that may hold secrets; setForm puts them in.
func newForm(ctx context.Context, rawURL string) (*http.Request, error) {
	return http.NewRequestWithContext(ctx, http.MethodPost, rawURL, http.NoBody)
}

// errOnce stands for whatever ended a connection on which a form may have been sent.
var errOnce = errors.New("connection ended; what was sent on it is not sent again")

// sentForm is a form that is a request's body, to be sent once. net/http repeats a POST whose body it can get again: over
// HTTP/1.1 only if nothing was written to a connection that the server had closed, which saves logins from idle
// connections and sends no code twice; over HTTP/2 also after the request was sent, for as long as a server wants it.
// So the body can be had again on the former alone.
type sentForm struct {
	body  string
	http1 atomic.Bool
	state atomic.Uint32
}

const (
	formWaits uint32 = iota // nobody has read it
	formLeft                // a transport has: it may have been sent
	formKept                // nobody may read it any more
)

// setForm returns r with the form as its body.
func setForm(r *http.Request, form url.Values) (*http.Request, *sentForm) {
	f := &sentForm{body: form.Encode()}
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { f.http1.Store(isHTTP1(info.Conn)) },
	}))
	r.Body = f.reader()
	r.GetBody = func() (io.ReadCloser, error) {
		if !f.http1.Load() {
			return nil, errOnce
		}
		return f.reader(), nil
	}
	r.ContentLength = int64(len(f.body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r, f
}

func (f *sentForm) reader() io.ReadCloser {
	return io.NopCloser(&formReader{form: f, rest: strings.NewReader(f.body)})
}

// keep reports whether the form never left this process, and sees to it that it never will. What a one-time code is in
// was not sent if nobody has read it: that holds for every transport, and whatever its error says.
func (f *sentForm) keep() bool { return f.state.CompareAndSwap(formWaits, formKept) }

// formReader reads the form, and says so before it does.
type formReader struct {
	form *sentForm
	rest *strings.Reader
}

// Read implements io.Reader.
func (r *formReader) Read(p []byte) (int, error) {
	if !r.form.state.CompareAndSwap(formWaits, formLeft) && r.form.state.Load() == formKept {
		return 0, errOnce
	}
	return r.rest.Read(p)
}

func isHTTP1(conn net.Conn) bool {
	secure, ok := conn.(interface{ ConnectionState() tls.ConnectionState })
	return !ok || secure.ConnectionState().NegotiatedProtocol != "h2"
}

// unreachable wraps a transport error without the query that *url.Error prints.
func unreachable(u *url.URL, err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	return fmt.Errorf("%s: %w: %w", place(u), ErrUnavailable, unquoted(err))
}

// quotation is what strconv.Quote makes, or begins.
var quotation = regexp.MustCompile(`"(?:[^"\\]|\\.)*"?`)

// unquoted returns a transport's error without what it quotes: net/http quotes what a server sent that is no HTTP, and a
// server may send back what we sent, or tokens to somebody who does not read them.
func unquoted(err error) error {
	text := quotation.ReplaceAllString(err.Error(), `"…"`)
	if e, ok := errors.AsType[textproto.ProtocolError](err); ok { // not all of these quote
		reason, _, _ := strings.Cut(e.Error(), ":")
		text = quotation.ReplaceAllString(reason, `"…"`)
	}
	if text == err.Error() {
		return err
	}
	for _, cause := range [...]error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, cause) {
			return fmt.Errorf("%s: %w", text, cause)
		}
	}
	return errors.New(text)
}

// unavailable marks err as [ErrUnavailable], once.
func unavailable(err error) error {
	if errors.Is(err, ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// place names an endpoint in an error.
func place(u *url.URL) string { return u.Scheme + "://" + u.Host + u.Path }
