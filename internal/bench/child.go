package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/twofold-auth/twofold/rp/optest"
)

// childFlag makes this program one of the processes that are measured: what follows it says which.
const childFlag = "-child="

// settings are what a child is told, as the first line of its input.
type settings struct {
	Variant string // which contender
	Issuer  string
	Base    string // how the app is reached; "" is its own address
	Redis   string
	Key     []byte
	Procs   int // GOMAXPROCS; 0 is all
	Delay   time.Duration
}

// hello is what a child answers first, and its figures after each further line.
type hello struct {
	Addr, Error string
	CPU         time.Duration
	Calls       int // of the token endpoint, of a provider
}

// child is a process as its parent sees it.
type child struct {
	addr    string
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *bufio.Scanner
}

func startChild(ctx context.Context, kind string, s settings) (*child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	line, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.CommandContext(ctx, program, childFlag+kind)} //nolint:gosec // this program itself
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	c.answers = bufio.NewScanner(out)
	h, err := c.ask(string(line))
	if err != nil {
		c.stop()
		return nil, fmt.Errorf("child %s %s: %w", kind, s.Variant, err)
	}
	c.addr = h.Addr
	return c, nil
}

// ask sends a line and returns the answer.
func (c *child) ask(line string) (h hello, err error) {
	if _, err := io.WriteString(c.in, line+"\n"); err != nil {
		return h, err
	}
	if !c.answers.Scan() {
		return h, errors.Join(io.ErrUnexpectedEOF, c.answers.Err())
	}
	if err := json.Unmarshal(c.answers.Bytes(), &h); err != nil {
		return h, err
	}
	if h.Error != "" {
		return h, errors.New(h.Error)
	}
	return h, nil
}

// cpu is what the child has used so far.
func (c *child) cpu() time.Duration {
	h, err := c.ask("figures")
	must(err)
	return h.CPU
}

func (c *child) url() string { return "http://" + c.addr }

// stop ends the process; nothing is left to learn from it.
func (c *child) stop() {
	_ = c.in.Close()
	timer := time.AfterFunc(5*time.Second, func() { _ = c.cmd.Process.Kill() })
	defer timer.Stop()
	_ = c.cmd.Wait()
}

// childMain is such a process. It ends when its input does.
func childMain(kind string) {
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	in.Buffer(nil, 1<<20)
	var s settings
	if !in.Scan() || json.Unmarshal(in.Bytes(), &s) != nil {
		os.Exit(2)
	}
	if s.Procs > 0 {
		runtime.GOMAXPROCS(s.Procs)
	}
	ctx, end := context.WithCancel(context.Background())
	defer end()
	addr, calls, err := serveChild(ctx, kind, s)
	if err != nil {
		_ = out.Encode(hello{Error: err.Error()})
		return
	}
	_ = out.Encode(hello{Addr: addr})
	for in.Scan() {
		if d, ok := strings.CutPrefix(in.Text(), "advance "); ok {
			by, err := time.ParseDuration(d)
			must(err)
			ahead.advance(by)
		}
		_ = out.Encode(hello{CPU: cpuTime(), Calls: calls()})
	}
}

func noCalls() int { return 0 }

// serveChild starts to serve, and returns where.
func serveChild(ctx context.Context, kind string, s settings) (addr string, calls func() int, err error) {
	if kind == "provider" {
		return serveProvider(s) //nolint:contextcheck // it lives as long as the process
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	addr = listener.Addr().String()
	if s.Base == "" {
		s.Base = "http://" + addr
	}
	var h http.Handler
	switch kind {
	case "page":
		h, err = pageHandler(ctx, s)
	case "party":
		h, err = partyHandler(ctx, s)
	case "app":
		h, err = appHandler(ctx, s)
	default:
		err = errors.New("unknown kind of child")
	}
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Hour} // a connection may wait long for its turn
	go func() { _ = server.Serve(listener) }()
	return addr, noCalls, nil
}

// serveProvider is a provider in a process of its own.
func serveProvider(s settings) (addr string, calls func() int, err error) {
	op := optest.NewServer(providerConfig(s))
	tokens := jwtAccessTokens(1200)
	op.Fault(func(a *optest.Answer) {
		tokens(a)
		if a.Grant == "refresh_token" {
			a.Delay = s.Delay
		}
	})
	return strings.TrimPrefix(op.URL, "http://"), func() int { return op.Calls("/oauth/token") }, nil
}

func providerConfig(s settings) optest.Config {
	c := optest.Config{ClientID: clientID, ClientSecret: clientSecret, Claims: typicalClaims(1200)}
	if s.Variant == "expiring" {
		c.AccessTokenLifetime, c.Now = 10*time.Minute, ahead.Now
	}
	return c
}
