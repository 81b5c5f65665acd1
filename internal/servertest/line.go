package servertest

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

// Line is a network that can be cut: give its Dial to a client. It counts what a client sends and waits for. The zero
// Line works; it is safe for concurrent use.
type Line struct {
	trips atomic.Int64

	mu    sync.Mutex // guards what follows
	cut   bool
	conns map[*wire]bool
}

var errCut = errors.New("servertest: the line is cut")

// Dial connects, unless the line is cut.
func (l *Line) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		_ = conn.Close()
		return nil, &net.OpError{Op: "dial", Net: network, Err: errCut}
	}
	if l.conns == nil {
		l.conns = map[*wire]bool{}
	}
	w := &wire{Conn: conn, line: l}
	l.conns[w] = true
	return w, nil
}

// Cut closes every connection and refuses new ones.
func (l *Line) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for w := range l.conns {
		_ = w.Conn.Close()
	}
	clear(l.conns)
}

// Mend lets connections be made again.
func (l *Line) Mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
}

// Trips returns how many round trips there were: how often a connection was read after it had been written to.
func (l *Line) Trips() int64 { return l.trips.Load() }

// wire is a connection of a line.
type wire struct {
	net.Conn
	line  *Line
	wrote atomic.Bool
}

func (w *wire) Write(b []byte) (int, error) {
	w.wrote.Store(true)
	return w.Conn.Write(b)
}

func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if n > 0 && w.wrote.Swap(false) {
		w.line.trips.Add(1)
	}
	return n, err
}

func (w *wire) Close() error {
	w.line.mu.Lock()
	delete(w.line.conns, w)
	w.line.mu.Unlock()
	return w.Conn.Close()
}
