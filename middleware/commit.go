package middleware

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
)

// commitWriter sends cookies that were renewed while a handler runs: they are added to the header at the first byte.
// After that nothing can be renewed, and whoever wants to learns so before the provider is asked.
type commitWriter struct {
	http.ResponseWriter
	session   *sessionState // whose cookies they are
	committed atomic.Bool
	mu        sync.Mutex // guards what follows
	pending   []string
	of        int64      // the generation that pending is of, if it was renewed
	renewing  int        // renewals under way; the first byte waits for their cookies
	idle      *sync.Cond // renewing is 0 again; made when somebody waits
}

// reserve begins a renewal. If ok, the response stays uncommitted until release is called.
func (c *commitWriter) reserve() (release func(), ok bool) {
	if c == nil {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.committed.Load() {
		return nil, false
	}
	c.renewing++
	return c.release, true
}

func (c *commitWriter) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.renewing--; c.renewing == 0 && c.idle != nil {
		c.idle.Broadcast()
	}
}

// await returns when no renewal is under way. The caller holds mu.
func (c *commitWriter) await() {
	for c.renewing > 0 {
		if c.idle == nil {
			c.idle = sync.NewCond(&c.mu)
		}
		c.idle.Wait()
	}
}

// queue replaces what the first byte will bring.
func (c *commitWriter) queue(lines []string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.pending = lines
	c.mu.Unlock()
}

// renewed is queue for the cookies of a generation. Those of an older one, which come late, count no more.
func (c *commitWriter) renewed(generation int64, lines []string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if generation >= c.of {
		c.of, c.pending = generation, lines
	}
}

// commit adds the pending cookies, once. A cookie that the handler has set or dropped itself, by a login or a logout,
// is newer than ours.
func (c *commitWriter) commit() {
	if c.committed.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.await()
	if c.committed.Swap(true) {
		return
	}
	if len(c.pending) > 0 {
		c.pending = c.session.latest(c.pending)
	}
	h := c.Header()
	for _, line := range c.pending {
		name, _, _ := strings.Cut(line, "=")
		if !setsCookie(h, name) {
			h["Set-Cookie"] = append(h["Set-Cookie"], line)
		}
	}
	if len(c.pending) > 0 && !strings.Contains(h.Get("Cache-Control"), "no-store") {
		h.Set("Cache-Control", "private, no-store") // a shared cache must never hand out a session
	}
}

func setsCookie(h http.Header, name string) bool {
	for _, line := range h["Set-Cookie"] {
		if strings.HasPrefix(line, name+"=") {
			return true
		}
	}
	return false
}

// Unwrap is for [http.ResponseController].
func (c *commitWriter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// WriteHeader commits, but for an informational answer, after which the real one is still to come.
func (c *commitWriter) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		c.commit()
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *commitWriter) Write(b []byte) (int, error) {
	c.commit()
	return c.ResponseWriter.Write(b)
}

// WriteString implements [io.StringWriter].
func (c *commitWriter) WriteString(s string) (int, error) {
	c.commit()
	return io.WriteString(c.ResponseWriter, s)
}

// The optional interfaces, each as a part of its own, so that the wrapper has those of the original and no other.
type (
	commitFlusher  struct{ c *commitWriter }
	commitHijacker struct{ c *commitWriter }
	commitReader   struct{ c *commitWriter }
	commitPusher   struct{ c *commitWriter }
)

func (f commitFlusher) Flush() {
	f.c.commit()
	f.c.ResponseWriter.(http.Flusher).Flush() //nolint:forcetypeassert // wrap looked
}

func (f commitFlusher) FlushError() error {
	f.c.commit()
	return http.NewResponseController(f.c.ResponseWriter).Flush()
}

func (h commitHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h.c.commit()
	return h.c.ResponseWriter.(http.Hijacker).Hijack() //nolint:forcetypeassert // wrap looked
}

func (r commitReader) ReadFrom(src io.Reader) (int64, error) {
	r.c.commit()
	return r.c.ResponseWriter.(io.ReaderFrom).ReadFrom(src) //nolint:forcetypeassert // wrap looked
}

func (p commitPusher) Push(target string, o *http.PushOptions) error {
	return p.c.ResponseWriter.(http.Pusher).Push(target, o) //nolint:forcetypeassert // wrap looked
}

const (
	canFlush = 1 << iota
	canHijack
	canReadFrom
	canPush
)

// wrap returns c as a ResponseWriter that can what the original can.
func (c *commitWriter) wrap() http.ResponseWriter {
	can := 0
	if _, ok := c.ResponseWriter.(http.Flusher); ok {
		can |= canFlush
	}
	if _, ok := c.ResponseWriter.(http.Hijacker); ok {
		can |= canHijack
	}
	if _, ok := c.ResponseWriter.(io.ReaderFrom); ok {
		can |= canReadFrom
	}
	if _, ok := c.ResponseWriter.(http.Pusher); ok {
		can |= canPush
	}
	return wrappers[can](c)
}

// wrappers has one type for each set of abilities: Go has no other way to make a method appear.
var wrappers = [...]func(c *commitWriter) http.ResponseWriter{
	0: func(c *commitWriter) http.ResponseWriter { return c },
	canFlush: func(c *commitWriter) http.ResponseWriter {
		return struct {
			*commitWriter
			commitFlusher
		}{c, commitFlusher{c}}
	},
	canHijack: func(c *commitWriter) http.ResponseWriter {
		return struct {
			*commitWriter
			commitHijacker
		}{c, commitHijacker{c}}
	},
	canReadFrom: func(c *commitWriter) http.ResponseWriter {
		return struct {
			*commitWriter
			commitReader
		}{c, commitReader{c}}
	},
	canPush: func(c *commitWriter) http.ResponseWriter {
		return struct {
			*commitWriter
			commitPusher
		}{c, commitPusher{c}}
	},
	canFlush | canHijack: func(c *commitWriter) http.ResponseWriter {
		return struct {
			*commitWriter
			commitFlusher
			commitHijacker
		}{c, commitFlusher{c}, commitHijacker{c}}
	},
	canFlush | canReadFrom: func(c *commitWriter) http.ResponseWriter {
		return struct {
			*commitWriter
			commitFlusher
			commitReader
		}{c, commitFlusher{c}, commitReader{c}}
	},
	canFlush | canPush: func(c *commitWriter) http.ResponseWriter {
		return struct {
			*commitWriter
			commitFlusher
			commitPusher
		}{c, commitFlusher{c}, commitPusher{c}}
	},
	canHijack | canReadFrom: func(c *commitWriter) http.ResponseWriter {
		return struct {
			*commitWriter
			commitHijacker
			commitReader
		}{c, commitHijacker{c}, commitReader{c}}
	},
	canHijack | canPush: func(c *commitWriter) http.ResponseWriter {
		return struct {
			*commitWriter
			commitHijacker
			commitPusher
		}{c, commitHijacker{c}, commitPusher{c}}
	},
	canReadFrom | canPush: func(c *commitWriter) http.ResponseWriter {
		return struct {
			*commitWriter
			commitReader
			commitPusher
		}{c, commitReader{c}, commitPusher{c}}
	},
	canFlush | canHijack | canReadFrom: func(c *commitWriter) http.ResponseWriter {
		return struct {
			*commitWriter
			commitFlusher
			commitHijacker
			commitReader
		}{c, commitFlusher{c}, commitHijacker{c}, commitReader{c}}
	},
	canFlush | canHijack | canPush: func(c *commitWriter) http.ResponseWriter {
		return struct {
			*commitWriter
			commitFlusher
			commitHijacker
			commitPusher
		}{c, commitFlusher{c}, commitHijacker{c}, commitPusher{c}}
	},
	canFlush | canReadFrom | canPush: func(c *commitWriter) http.ResponseWriter {
		return struct {
			*commitWriter
			commitFlusher
			commitReader
			commitPusher
		}{c, commitFlusher{c}, commitReader{c}, commitPusher{c}}
	},
	canHijack | canReadFrom | canPush: func(c *commitWriter) http.ResponseWriter {
		return struct {
			*commitWriter
			commitHijacker
			commitReader
			commitPusher
		}{c, commitHijacker{c}, commitReader{c}, commitPusher{c}}
	},
	canFlush | canHijack | canReadFrom | canPush: func(c *commitWriter) http.ResponseWriter {
		return struct {
			*commitWriter
			commitFlusher
			commitHijacker
			commitReader
			commitPusher
		}{c, commitFlusher{c}, commitHijacker{c}, commitReader{c}, commitPusher{c}}
	},
}
