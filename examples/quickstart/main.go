// Command quickstart shows a login with the OpenID Connect Hybrid Flow, step by step, on one page.
//
//	go run ./examples/quickstart          # then open the address that it prints
//	go run ./examples/quickstart -check   # plays the browser itself and prints the same steps
//
// Without configuration it starts a provider of its own on 127.0.0.1, and the app on localhost: to a browser these are
// two sites, so cookies behave as they do in production. With ISSUER, CLIENT_ID and CLIENT_SECRET in the environment (or
// CLIENT_KEY_FILE, a private key as PKCS#8 PEM, and CLIENT_KEY_ID) it logs in at that provider. CLIENT_AUTH says
// client_secret_post if the provider wants that, AUDIENCE which API the access token is for (Auth0).
//
// What to look at: app.go is all that an app has to write. recorder.go and the pages only show what happens.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/twofold-auth/twofold/examples/internal/demo"
	"github.com/twofold-auth/twofold/rp/optest"
)

func main() {
	check := flag.Bool("check", false, "play the browser, print the steps, and exit 0 only if all of it was right")
	listen := flag.String("listen", "localhost:9070", "where the app listens: localhost and a port")
	provider := flag.String("provider", "127.0.0.1:9071", "where the embedded provider listens: 127.0.0.1 and a port")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	s, err := parse(os.Getenv)
	switch {
	case err != nil:
	case flag.NArg() > 0:
		err = fmt.Errorf("%q is no flag", flag.Arg(0))
	case !strings.HasPrefix(*listen, "localhost:"):
		err = fmt.Errorf("-listen %s: must be localhost and a port, such as localhost:9080; the provider is on another site", *listen)
	case !strings.HasPrefix(*provider, "127.0.0.1:"):
		err = fmt.Errorf("-provider %s: must be 127.0.0.1 and a port, such as 127.0.0.1:9081; the app is on another site", *provider)
	case *check && s.issuer != "":
		err = errors.New("ISSUER: -check needs the embedded provider, which it can log in at; unset ISSUER")
	case *check:
		err = runCheck(ctx, os.Stdout)
	default:
		err = serve(ctx, s, *listen, *provider)
	}
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// serve runs until ctx ends.
func serve(ctx context.Context, s settings, listen, provider string) error {
	listener, err := demo.Listen(ctx, "-listen", listen)
	if err != nil {
		return err
	}
	s.base = demo.URL(listener)
	s.log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	if s.issuer == "" {
		embedded, err := demo.Listen(ctx, "-provider", provider)
		if err != nil {
			return err
		}
		op := s.embed(embedded)
		go func() { _ = demo.Serve(ctx, embedded, op) }()
	}
	a, err := newApp(ctx, s)
	if err != nil {
		return err
	}
	defer a.close()
	a.greet(os.Stdout)
	return demo.Serve(ctx, listener, a.routes())
}

// embed makes the settings those of a provider of our own, which will be reached through l.
func (s *settings) embed(l net.Listener) *optest.Handler {
	s.embedded = true
	s.issuer = "http://" + l.Addr().String()
	s.clientID, s.secret = "quickstart", "only-for-the-embedded-provider"
	op := optest.NewHandler(s.issuer, optest.Config{
		ClientID: s.clientID, ClientSecret: s.secret, LoginPage: true,
		RedirectURLs:           []string{s.redirectURL()},
		PostLogoutRedirectURLs: []string{s.postLogoutURL()},
	})
	op.Fault(briefly)
	return op
}

// briefly does what many providers do: the ID Token that travels through the browser says no more than it must.
func briefly(a *optest.Answer) {
	if a.Endpoint == "/authorize" {
		delete(a.Claims, "email")
		delete(a.Claims, "email_verified")
	}
}

func (a *app) greet(w io.Writer) {
	_, _ = fmt.Fprintf(w, "\n  Open %s and log in", a.base)
	if a.embedded {
		_, _ = fmt.Fprintf(w, " with any name.\n  The provider is %s. Ctrl-C ends both.\n\n", a.issuer)
		return
	}
	_, _ = fmt.Fprintf(w, " at %s.\n  Register there: redirect URI %s\n                  post-logout URI %s\n\n",
		a.issuer, a.redirectURL(), a.postLogoutURL())
}

// unavailable says that the provider's metadata could not be had: the setting to look at is ISSUER.
func unavailable(issuer string, err error) error { return fmt.Errorf("ISSUER %s: %w", issuer, err) }
