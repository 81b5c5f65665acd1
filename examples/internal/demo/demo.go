// Package demo is what the small examples have in common, so that each shows its one idea and nothing else: a provider
// to log in at, a server for the app, and the flag -check.
package demo

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/twofold-auth/twofold/rp/optest"
)

// Program is one example.
type Program struct {
	// Name is the example's name; it is also the client ID that the provider knows.
	Name string
	// Secret is the client secret.
	Secret string
	// App makes the app that runs at the URL base and logs its users in at the issuer. One that is an io.Closer is
	// closed at the end.
	App func(issuer, base string) (http.Handler, error)
	// Stage is there instead of App if the provider plays a part that somebody has to direct.
	Stage func(op *optest.Server, base string) (http.Handler, error)
	// Provider, if not nil, changes how the provider is set up.
	Provider func(*optest.Config)
	// Check uses the app as a user would, through a browser without a screen.
	Check func(*Check)
}

// Main runs the example, or with -check its check. It does not return.
func Main(p Program) {
	check := flag.Bool("check", false, "play the browser, print what happens, and exit 0 only if all of it was right")
	listen := flag.String("listen", "localhost:9070", "where the app listens: localhost and a port")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if *check {
		err = RunCheck(ctx, os.Stdout, p)
	} else {
		err = p.serve(ctx, *listen)
	}
	stop()
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "%s: %v\n", p.Name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func (p Program) serve(ctx context.Context, address string) error {
	listener, err := Listen(ctx, "-listen", address)
	if err != nil {
		return err
	}
	base := URL(listener)
	op := p.provider(base, true) //nolint:contextcheck // it lives until Close
	defer op.Close()
	app, err := p.app(op, base)
	if err != nil {
		return err
	}
	fmt.Printf("Open %s and log in with any name. Ctrl-C ends it.\n", base)
	return errors.Join(Serve(ctx, listener, app), closeApp(app))
}

func (p Program) app(op *optest.Server, base string) (http.Handler, error) {
	if p.Stage != nil {
		return p.Stage(op, base)
	}
	return p.App(op.URL, base)
}

func closeApp(app http.Handler) error {
	if c, ok := app.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// provider starts the provider on 127.0.0.1. The app is on localhost, which to a browser is another site.
func (p Program) provider(base string, page bool) *optest.Server {
	config := optest.Config{
		ClientID: p.Name, ClientSecret: p.Secret, RedirectURLs: []string{base + "/auth/callback"},
		PostLogoutRedirectURLs: []string{base + "/auth/logged-out"}, LoginPage: page, Host: "127.0.0.1",
	}
	if p.Provider != nil {
		p.Provider(&config)
	}
	return optest.NewServer(config)
}

// RunCheck starts the example on free ports, runs its check and prints to w.
func RunCheck(ctx context.Context, w io.Writer, p Program) error {
	listener, err := Listen(ctx, "-check", "localhost:0")
	if err != nil {
		return err
	}
	base := URL(listener)
	op := p.provider(base, false) //nolint:contextcheck // it lives until Close
	defer op.Close()
	app, err := p.app(op, base)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	served := make(chan error, 1)
	serving, stop := context.WithCancel(ctx)
	go func() { served <- Serve(serving, listener, app) }()
	c := NewCheck(ctx, w, base)
	c.Provider = op.Handler
	p.Check(c)
	stop()
	return errors.Join(c.Err(), <-served, closeApp(app))
}

// Listen listens on an address of this machine. Its error names the flag that gave it, and what to do.
func Listen(ctx context.Context, flag, address string) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		host, _, _ := net.SplitHostPort(address)
		return nil, fmt.Errorf("%s %s is taken: name another address, for example %s %s", flag, address, flag, net.JoinHostPort(host, "9080"))
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", flag, address, err)
	}
	return listener, nil
}

// URL is where a browser reaches a listener: by the name localhost, whose cookies 127.0.0.1 does not get.
func URL(l net.Listener) string {
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return "http://" + l.Addr().String()
	}
	return "http://localhost:" + port
}

// Serve serves until ctx ends.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
