package rp_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/internal/bubble"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// D01 and D02 from the other side: which code was certainly not sent, and may be tried again.

// fate decides what becomes of the requests of a client.
type fate struct {
	next http.RoundTripper

	mu  sync.Mutex
	set func(*http.Request, http.RoundTripper) (*http.Response, error)
}

func (f *fate) decide(set func(*http.Request, http.RoundTripper) (*http.Response, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.set = set
}

func (f *fate) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	set := f.set
	f.mu.Unlock()
	if set == nil {
		return f.next.RoundTrip(r)
	}
	return set(r, f.next)
}

// newFate returns a world whose client has a fate.
func newFate(tb testing.TB) (*world, *fate) {
	f := &fate{}
	w := newWorld(tb, func(s *setting) {
		f.next = s.rp.HTTPClient.Transport
		s.rp.HTTPClient.Transport = f
	})
	return w, f
}

var errNetwork = errors.New("the network is bad")

func TestCodeThatWasNotSent(t *testing.T) {
	t.Parallel()
	refused := &net.OpError{Op: "dial", Err: errNetwork}
	for _, row := range []struct {
		name string
		sent bool
		fate func(*http.Request, http.RoundTripper) (*http.Response, error)
	}{
		{"D02_the_connection_is_refused", false, func(*http.Request, http.RoundTripper) (*http.Response, error) { return nil, refused }},
		{"D02_the_name_is_unknown", false, func(*http.Request, http.RoundTripper) (*http.Response, error) {
			return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
		}},
		{"D02_TLS_fails", false, func(*http.Request, http.RoundTripper) (*http.Response, error) {
			return nil, tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}
		}},
		{"D02_a_transport_that_says_nothing_of_connections", false, func(*http.Request, http.RoundTripper) (*http.Response, error) {
			return nil, errNetwork
		}},
		{"D02_the_request_has_left", true, func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err == nil {
				_ = resp.Body.Close()
			}
			return nil, errNetwork
		}},
		{"D02_one_byte_has_left_and_the_error_says_dial", true, func(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
			_, _ = r.Body.Read(make([]byte, 1))
			return nil, refused
		}},
		{"D02_another_body_was_asked_for_and_read", true, func(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
			if body, err := r.GetBody(); err == nil {
				_, _ = io.Copy(io.Discard, body)
			} else {
				_, _ = io.Copy(io.Discard, r.Body)
			}
			return nil, refused
		}},
		{"D01_the_answer_breaks_off", true, func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err == nil {
				_ = resp.Body.Close()
				resp.Body = io.NopCloser(io.MultiReader(&broken{}))
			}
			return resp, err
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w, f := newFate(t)
			a := w.verified(rp.AuthOptions{})
			f.decide(row.fate)
			_, err := w.client.Exchange(t.Context(), a)
			want, again := joined(rp.ErrUnavailable, rp.ErrNotSent), error(nil)
			if row.sent {
				want, again = rp.ErrUnavailable, rp.ErrCodeSpent
			}
			w.want(err, want)
			f.decide(nil)
			_, err = w.client.Exchange(t.Context(), a)
			w.want(err, again)
			if !row.sent {
				_, err = w.client.Exchange(t.Context(), a)
				w.want(err, rp.ErrCodeSpent)
				w.calls(pathToken, 1)
			}
		})
	}
}

// broken is a body that breaks off.
type broken struct{}

func (*broken) Read([]byte) (int, error) { return 0, errNetwork }

// A transport that gives up and reads the request's body after: what was said to be unsent stays unsent.
func TestD02_what_was_called_unsent_cannot_be_sent_later(t *testing.T) {
	t.Parallel()
	w, f := newFate(t)
	a := w.verified(rp.AuthOptions{})
	var kept *http.Request
	f.decide(func(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
		kept = r
		return nil, errNetwork
	})
	_, err := w.client.Exchange(t.Context(), a)
	w.want(err, joined(rp.ErrUnavailable, rp.ErrNotSent))
	if b, err := io.ReadAll(kept.Body); err == nil || len(b) != 0 {
		t.Errorf("%d bytes can be read, %v", len(b), err)
	}
	if body, err := kept.GetBody(); err == nil {
		if b, err := io.ReadAll(body); err == nil || len(b) != 0 {
			t.Errorf("%d bytes of another body can be read, %v", len(b), err)
		}
	}
}

// While one try is under way nobody else may send the code, also if that try turns out to send nothing.
func TestD45_a_try_that_sends_nothing_lets_one_other_pass(t *testing.T) {
	t.Parallel()
	w, f := newFate(t)
	a := w.verified(rp.AuthOptions{})
	entered, leave := make(chan struct{}), make(chan struct{})
	f.decide(func(*http.Request, http.RoundTripper) (*http.Response, error) {
		close(entered)
		<-leave
		return nil, errNetwork
	})
	first := make(chan error, 1)
	go func() {
		_, err := w.client.Exchange(t.Context(), a)
		first <- err
	}()
	<-entered
	f.decide(nil)
	_, err := w.client.Exchange(t.Context(), a)
	w.want(err, rp.ErrCodeSpent)
	close(leave)
	w.want(<-first, joined(rp.ErrUnavailable, rp.ErrNotSent))
	var won atomic.Int64
	var running sync.WaitGroup
	for range 50 {
		running.Go(func() {
			if _, err := w.client.Exchange(t.Context(), a); err == nil {
				won.Add(1)
			} else if !errors.Is(err, rp.ErrCodeSpent) {
				t.Error(err)
			}
		})
	}
	running.Wait()
	if won.Load() != 1 {
		t.Errorf("the code was exchanged %d times", won.Load())
	}
	w.calls(pathToken, 1)
}

// faulty is a key in hardware that may be away.
type faulty struct {
	crypto.Signer
	away atomic.Bool
}

func (k *faulty) Sign(random io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if k.away.Load() {
		return nil, errors.New("the module is away")
	}
	return k.Signer.Sign(random, digest, o)
}

func TestD02_a_key_that_cannot_sign_spends_no_code(t *testing.T) {
	t.Parallel()
	key := &faulty{Signer: edKey(t)}
	w := newWorld(t, func(s *setting) {
		s.rp.ClientAuth = rp.PrivateKeyJWT(key, "k")
		s.op.ClientSecret, s.op.ClientKeys = "", lazyClient(t, func(c *rp.Config) { c.ClientAuth = rp.PrivateKeyJWT(key, "k") }).JWKS()
	})
	a := w.verified(rp.AuthOptions{})
	key.away.Store(true)
	_, err := w.client.Exchange(t.Context(), a)
	w.want(err, rp.ErrNotSent)
	w.calls(pathToken, 0)
	key.away.Store(false)
	_, err = w.client.Exchange(t.Context(), a)
	w.want(err, nil)
	key.away.Store(true)
	_, err = w.client.Exchange(t.Context(), a)
	w.want(err, rp.ErrNotSent) // and a code that was sent before is not made good by it
	key.away.Store(false)
	_, err = w.client.Exchange(t.Context(), a)
	w.want(err, rp.ErrCodeSpent)
	w.calls(pathToken, 1)
}

func TestD01_time_is_over_before_there_is_a_connection(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		w, f := newFate(t)
		a := w.verified(rp.AuthOptions{})
		f.decide(func(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		_, err := w.client.Exchange(t.Context(), a)
		w.want(err, joined(rp.ErrUnavailable, rp.ErrNotSent))
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = w.client.Exchange(short, a)
		w.want(err, joined(rp.ErrUnavailable, rp.ErrNotSent))
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = w.client.Exchange(gone, a)
		w.want(err, joined(context.Canceled, rp.ErrUnavailable, rp.ErrNotSent))
		f.decide(nil)
		w.lie(pathToken, func(a *optest.Answer) { a.Delay = -1 })
		_, err = w.client.Exchange(t.Context(), a)
		w.want(err, rp.ErrUnavailable) // now it was sent
		_, err = w.client.Exchange(t.Context(), a)
		w.want(err, rp.ErrCodeSpent)
	})
}

// The same words for a refresh: without them nobody knows whether the refresh token was replaced.
func TestE09_a_refresh_that_was_not_sent(t *testing.T) {
	t.Parallel()
	w, f := newFate(t)
	tokens := w.tokens(rp.AuthOptions{})
	f.decide(func(*http.Request, http.RoundTripper) (*http.Response, error) { return nil, errNetwork })
	_, err := w.client.Refresh(t.Context(), tokens, rp.Target{})
	w.want(err, joined(rp.ErrUnavailable, rp.ErrNotSent))
	w.want(w.client.Revoke(t.Context(), tokens), joined(rp.ErrUnavailable, rp.ErrNotSent))
	f.decide(nil)
	_, err = w.client.Refresh(t.Context(), tokens, rp.Target{})
	w.want(err, nil)
}
