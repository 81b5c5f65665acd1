package rp_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/twofold-auth/twofold/rp"
)

// standard is what net/http says through the standard logger: no application can give it another one.
var standard = func() *said {
	s := &said{}
	log.SetOutput(s)
	return s
}()

// TestAnswersThatComeTwice has a provider, or something before it, that sends an answer twice. net/http would log what
// comes after an answer, with its tokens, or take it for the answer to the next request on that connection: another
// user's.
func TestAnswersThatComeTwice(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		endpoint string
		ask      func(context.Context, *rp.Client, *rp.Tokens) error
	}{
		"K01_E11_refresh": {pathToken, func(ctx context.Context, c *rp.Client, old *rp.Tokens) error {
			_, err := c.Refresh(ctx, old, rp.Target{})
			return err
		}},
		"K01_E11_userinfo": {"/userinfo", func(ctx context.Context, c *rp.Client, old *rp.Tokens) error {
			_, err := c.UserInfo(ctx, old)
			return err
		}},
		"K01_client_credentials": {pathToken, func(ctx context.Context, c *rp.Client, _ *rp.Tokens) error {
			_, err := c.ClientCredentials(rp.Target{Scopes: []string{"a"}}).Token(ctx)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			one, two := w.tokens(rp.AuthOptions{}), w.tokens(rp.AuthOptions{})
			var ended sync.WaitGroup
			address := strings.TrimPrefix(opIssuer, "http://") + ":80"
			w.net.serve(address, twice(row.endpoint, w.said.tap(w.op), &ended))
			w.net.transport.CloseIdleConnections()
			w.must(row.ask(t.Context(), w.client, one))
			w.must(row.ask(t.Context(), w.client, two))
			w.net.transport.CloseIdleConnections()
			ended.Wait()
			standard.check(t, w.secrets())
		})
	}
}

// twice sends each answer of an endpoint again, in one piece with the first, and keeps the connection open.
func twice(endpoint string, next http.Handler, ended *sync.WaitGroup) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != endpoint {
			next.ServeHTTP(rw, r)
			return
		}
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		conn, _, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		answer := fmt.Sprintf("HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", rec.Code, rec.Body.Len(), rec.Body)
		ended.Go(func() {
			defer conn.Close()
			_, _ = io.WriteString(conn, answer+answer)
			_, _ = io.Copy(io.Discard, conn)
		})
	})
}
