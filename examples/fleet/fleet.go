package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/twofold-auth/twofold/examples/internal/demo"
	"github.com/twofold-auth/twofold/rp/optest"
)

const clientID = "fleet"

// names are those of the instances.
var names = []string{"A", "B", "C"}

// plan says how to start a fleet.
type plan struct {
	listen, provider string // addresses
	quiet            bool
	config           optest.Config // of the provider; registered URLs and credentials are filled in
}

// fleet is all of it: Redis, a provider, the instances, and a balancer in front of them.
type fleet struct {
	base, issuer string
	op           *optest.Handler
	store        store
	redis, what  string // where and what the store is
	instances    []*instance
	balancer     *balancer
	cancel       context.CancelFunc
	served       chan error
	servers      int
}

// start starts a fleet. It ends with stop.
func (p plan) start(ctx context.Context) (f *fleet, err error) {
	front, err := demo.Listen(ctx, "-listen", p.listen)
	if err != nil {
		return nil, err
	}
	back, err := demo.Listen(ctx, "-provider", p.provider)
	if err != nil {
		_ = front.Close()
		return nil, err
	}
	f = &fleet{base: demo.URL(front), issuer: "http://" + back.Addr().String(), balancer: newBalancer(len(names)), served: make(chan error, 2)}
	ctx, f.cancel = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			_ = f.stop()
		}
	}()
	f.op = p.newProvider(f)
	f.serve(ctx, back, f.op)
	f.serve(ctx, front, f.balancer.handler())
	if f.store, f.redis, f.what, err = startRedis(); err != nil { //nolint:contextcheck // it lives until Stop
		return nil, err
	}
	return f, f.startInstances(settings{
		Base: f.base, Issuer: f.issuer, Secret: p.config.ClientSecret, Redis: f.redis, Keys: [][]byte{newKey()}, Quiet: p.quiet,
	})
}

func (f *fleet) serve(ctx context.Context, l net.Listener, h http.Handler) {
	f.servers++
	go func() { f.served <- demo.Serve(ctx, l, h) }()
}

// newKey is made once for all instances. A real fleet keeps it, so that sessions outlive a restart of all of them.
func newKey() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	return key
}

// newProvider makes the provider, and tells it where to say that it has logged somebody out: at the balancer.
func (p *plan) newProvider(f *fleet) *optest.Handler {
	c := &p.config
	c.ClientID, c.ClientSecret = clientID, rand.Text()
	c.RedirectURLs = []string{f.base + "/auth/callback"}
	c.PostLogoutRedirectURLs = []string{f.base + "/auth/logged-out"}
	c.BackchannelLogoutURL = f.base + "/auth/backchannel-logout"
	return optest.NewHandler(f.issuer, *c)
}

func (f *fleet) startInstances(s settings) error {
	for _, name := range names {
		s.Name = name
		f.instances = append(f.instances, &instance{settings: s})
	}
	for i := range f.instances {
		if err := f.restart(i); err != nil {
			return err
		}
	}
	return nil
}

// restart starts an instance and puts it into service.
func (f *fleet) restart(i int) error {
	if err := f.instances[i].start(); err != nil {
		return err
	}
	f.balancer.set(i, f.instances[i].addr)
	return nil
}

// stop ends all of it, and says what ended badly.
func (f *fleet) stop() error {
	var errs []error
	for _, i := range f.instances {
		errs = append(errs, i.stop())
	}
	f.cancel()
	for range f.servers {
		errs = append(errs, <-f.served)
	}
	if f.store != nil {
		f.store.Stop()
	}
	f.balancer.transport.CloseIdleConnections()
	return errors.Join(errs...)
}

// String says what runs where.
func (f *fleet) String() string {
	text := fmt.Sprintf("Sessions are in %s at %s.\n", f.what, f.redis)
	for _, i := range f.instances {
		text += fmt.Sprintf("  Instance %s is process %d at %s.\n", i.Name, i.process.Pid, i.addr)
	}
	return text
}
