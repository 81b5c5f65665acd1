// Command fleet runs three instances of one app behind a balancer that sends each request to the next one. Sessions are
// in Redis: whoever is logged in is so at every instance, a refresh token is spent by one of them for all, and a logout
// reaches them all.
//
//	go run ./examples/fleet          # then open the address that it prints
//	go run ./examples/fleet -check   # plays three browsers, kills an instance and Redis in between, and reports
//	go run ./examples/fleet -soak 10m -sessions 2000
//
// It starts all that it needs: the machine's redis-server in a directory of its own, or an embedded one if there is
// none; a provider on 127.0.0.1, which to a browser is another site than localhost; and each instance as a process of
// its own, so that kill -9 is what it is.
//
// What to look at: app.go is an instance. What makes it one of many are the Store and the Keys that all of them share.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/twofold-auth/twofold/rp/optest"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == instanceFlag {
		exit(runInstance(os.Stdin, os.Stdout))
	}
	check := flag.Bool("check", false, "play three browsers, print what happens, and exit 0 only if all of it was right")
	soak := flag.Duration("soak", 0, "for so long: log in, refresh and log out all the time, and exit 0 only if no session was lost and nothing grew")
	sessions := flag.Int("sessions", 100, "with -soak: how many sessions")
	rate := flag.Int("rate", 40, "with -soak: how many operations a second")
	listen := flag.String("listen", "localhost:9070", "where the balancer listens: localhost and a port")
	provider := flag.String("provider", "127.0.0.1:9071", "where the provider listens: 127.0.0.1 and a port")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch {
	case flag.NArg() > 0:
		exit(fmt.Errorf("%q is no flag", flag.Arg(0)))
	case *check && *soak != 0:
		exit(errors.New("-check and -soak: one at a time"))
	case *check:
		exit(runCheck(ctx, os.Stdout))
	case *soak != 0:
		exit(runSoak(ctx, os.Stdout, soakPlan{length: *soak, sessions: *sessions, rate: *rate}))
	default:
		exit(serve(ctx, os.Stdout, plan{listen: *listen, provider: *provider, config: optest.Config{LoginPage: true}}))
	}
}

func exit(err error) {
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve runs until ctx ends. An instance that dies is started again after a moment, as an orchestrator would.
func serve(ctx context.Context, w io.Writer, p plan) error {
	f, err := p.start(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(w, "\nOpen %s and log in with any name. Ctrl-C ends all.\n\n%v\n"+
		"Kill an instance with kill -9: the others go on, and it comes back after some seconds.\n\n", f.base, f)
	for ctx.Err() == nil {
		if err := f.mend(ctx, w); err != nil {
			return errors.Join(err, f.stop())
		}
	}
	return f.stop()
}

const restartAfter = 5 * time.Second

// mend waits until an instance dies, and starts it again.
func (f *fleet) mend(ctx context.Context, w io.Writer) error {
	dead := -1
	select {
	case <-ctx.Done():
		return nil
	case <-f.instances[0].ended:
		dead = 0
	case <-f.instances[1].ended:
		dead = 1
	case <-f.instances[2].ended:
		dead = 2
	}
	i := f.instances[dead]
	i.process = nil // nothing is left to stop
	_, _ = fmt.Fprintf(w, "Instance %s is dead (%v). It starts again in %v.\n", i.Name, i.why, restartAfter)
	timer := time.NewTimer(restartAfter)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-timer.C:
	}
	if err := f.restart(dead); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(w, "Instance %s is process %d now.\n", i.Name, i.process.Pid)
	return nil
}
