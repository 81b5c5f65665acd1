// Command conformance is the relying party that certification suites, interoperability matrices and hostile providers
// drive. It becomes whatever relying party its environment describes, and is built on Twofold's public API alone.
//
// What to look at: the settings that it refuses, and how little code is left once the library does the protocol.
//
//	RP_LISTEN=127.0.0.1:8080 RP_BASE_URL=http://localhost:8080 RP_ISSUER=https://op.example.com \
//	RP_CLIENT_ID=client RP_CLIENT_SECRET=secret RP_RESPONSE_TYPE="code id_token" RP_RESPONSE_MODE=form_post \
//	go run ./examples/conformance
//
// A setting that is missing, malformed or asks for what the library does not do is named in one line, and the exit
// status is 64. Nothing is asked of the provider, or of the session store, before a route needs it: while one is down,
// the routes that need it answer 503. SIGTERM ends the program at once.
//
// # Environment
//
//	RP_LISTEN           host:port to listen on; plain HTTP, TLS for RP_BASE_URL ends in front of it
//	RP_BASE_URL         what the browser uses: http://localhost:PORT or https://NAME; the redirect URI is its /callback
//	RP_ISSUER           the issuer, exactly as it is; http is accepted on a loopback host
//	RP_CLIENT_ID        the registered client
//	RP_CLIENT_SECRET    its secret, for the methods that have one
//	RP_CLIENT_AUTH      client_secret_basic (also if empty), client_secret_post, client_secret_jwt, private_key_jwt, none
//	RP_PRIVATE_KEY_FILE PKCS#8 PEM for private_key_jwt, with RP_PRIVATE_KEY_ID and RP_PRIVATE_KEY_ALG
//	RP_RESPONSE_TYPE    code id_token (also if empty), code token, code id_token token, code, id_token
//	RP_RESPONSE_MODE    form_post, fragment, query; empty: the type's default, not sent
//	RP_SCOPES           separated by spaces; empty is openid
//	RP_ID_TOKEN_ALG     the only algorithm for ID Tokens; empty is RS256
//	RP_USERINFO         none (also if empty), bearer_header, bearer_body; with RP_USERINFO_ALG it comes as a signed JWT
//	RP_AUTH_PARAMS      further parameters of the authorization request, form-encoded
//	RP_RESOURCE_URL     what GET /resource fetches with the access token
//	RP_POST_LOGOUT_REDIRECT_URI  empty or RP_BASE_URL/logged-out
//	RP_EXCHANGE         now (also if empty), on_demand, never
//	RP_STORE            where sessions are: sealed cookies (empty), redis://…, postgres://… (the tables are made)
//	RP_CA_FILE          a CA to trust beside the system's
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp"
)

// exitUsage is EX_USAGE of sysexits.h: the settings are wrong.
const exitUsage = 64

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Getenv, os.Stderr)
	stop()
	os.Exit(status)
}

// run serves until ctx ends, and returns the exit status.
func run(ctx context.Context, env func(string) string, log io.Writer) int {
	p, err := newProgram(env, slog.New(slog.NewTextHandler(log, nil))) //nolint:contextcheck // it makes no request
	if err != nil {
		_, _ = fmt.Fprintln(log, strings.ReplaceAll(err.Error(), "\n", "; "))
		return exitUsage
	}
	defer p.close()
	if err := p.serve(ctx); err != nil {
		_, _ = fmt.Fprintln(log, err)
		return 1
	}
	return 0
}

// program is one relying party.
type program struct {
	settings *settings
	client   *rp.Client
	auth     *middleware.Auth
	log      *slog.Logger
	closers  []func() // in the order of their making
}

// newProgram makes no request: with lazy discovery a bad or absent provider stops nothing here, so every error is about
// the settings.
func newProgram(env func(string) string, log *slog.Logger) (_ *program, err error) {
	p := &program{log: log}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.settings, err = parse(env); err != nil {
		return nil, err
	}
	s := p.settings
	s.client.Logger = log
	if p.client, err = rp.New(context.Background(), s.client); err != nil {
		return nil, named(err)
	}
	p.closers = append(p.closers, func() { _ = p.client.Close() })
	store, closeStore, err := s.store.open()
	if err != nil {
		return nil, &settingError{Name: "RP_STORE", Text: err.Error()}
	}
	p.closers = append(p.closers, closeStore)
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	p.auth, err = middleware.New(middleware.Config{
		Client: p.client, Keys: [][]byte{key}, Store: store, Exchange: s.exchange, AuthOptions: s.options, Logger: log, Observe: note,
	})
	if err != nil {
		return nil, err
	}
	p.closers = append(p.closers, func() { _ = p.auth.Close() })
	return p, nil
}

// settingOf says which setting a field of rp.Config comes from.
var settingOf = map[string]string{ //nolint:gosec // names, no credentials
	"Issuer": "RP_ISSUER", "ClientID": "RP_CLIENT_ID", "RedirectURL": "RP_BASE_URL", "Scopes": "RP_SCOPES",
	"ClientAuth": "RP_CLIENT_AUTH", "IDTokenAlgorithm": "RP_ID_TOKEN_ALG", "UserInfoAlgorithm": "RP_USERINFO_ALG",
	"PostLogoutRedirectURL": "RP_POST_LOGOUT_REDIRECT_URI",
}

// named puts the setting's name before what the library says of a field of its configuration.
func named(err error) error {
	refused, ok := errors.AsType[*rp.ConfigError](err)
	if !ok || settingOf[refused.Field] == "" {
		return err
	}
	return &settingError{Name: settingOf[refused.Field], Text: refused.Err.Error()}
}

func (p *program) close() {
	for _, end := range slices.Backward(p.closers) {
		end()
	}
}

// serve listens until ctx ends. What is under way then is cut off: whoever sends SIGTERM does not want to wait.
func (p *program) serve(ctx context.Context) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", p.settings.listen)
	if err != nil {
		return fmt.Errorf("RP_LISTEN: %w", err)
	}
	server := &http.Server{
		Handler:           p.routes(),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       time.Minute,
		ErrorLog:          slog.NewLogLogger(p.log.Handler(), slog.LevelWarn),
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
