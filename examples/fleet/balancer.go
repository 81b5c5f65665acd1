package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"
)

// balancer sends each request to the next instance, whoever it comes from. An instance that does not take a connection
// is passed over; a request that an instance died over is repeated elsewhere if it was a GET.
type balancer struct {
	transport *http.Transport

	mu    sync.Mutex // guards what follows
	addrs []string   // "" is out of service
	next  int
}

func newBalancer(instances int) *balancer {
	return &balancer{addrs: make([]string, instances), transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     30 * time.Second,
	}}
}

// set says where an instance is; "" takes it out of service.
func (b *balancer) set(i int, addr string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.addrs[i] = addr
}

// order returns the instances in the order in which they are to be tried.
func (b *balancer) order() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []string
	for i := range b.addrs {
		if addr := b.addrs[(b.next+i)%len(b.addrs)]; addr != "" {
			list = append(list, addr)
		}
	}
	b.next = (b.next + 1) % len(b.addrs)
	return list
}

var errNobody = errors.New("no instance takes requests")

// RoundTrip implements [http.RoundTripper]: it chooses the instance.
func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	err := errNobody
	for _, addr := range b.order() {
		var response *http.Response
		try := r.Clone(r.Context())
		try.URL.Host = addr
		if r.Body != nil {
			try.Body = io.NopCloser(r.Body) // an instance that was not reached has not read it
		}
		if response, err = b.transport.RoundTrip(try); err == nil {
			return response, nil
		}
		if r.Context().Err() != nil || !isRepeatable(r, err) {
			break
		}
	}
	return nil, err
}

// isRepeatable says whether another instance may be asked after err.
func isRepeatable(r *http.Request, err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	return r.Method == http.MethodGet || r.Method == http.MethodHead
}

// handler serves the balancer.
func (b *balancer) handler() http.Handler {
	return &httputil.ReverseProxy{
		Transport: b,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", p.In.Host
			p.Out.Host = p.In.Host // the instances compare it with Origin
			p.SetXForwarded()
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.Header().Set("Retry-After", "2")
			http.Error(w, "The instance that had this request is gone. Try again.", http.StatusBadGateway)
		},
	}
}
