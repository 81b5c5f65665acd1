package middleware_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/twofold-auth/twofold/internal/bubble"
	"github.com/twofold-auth/twofold/middleware"
)

// The writers of these tests add one ability each to a plain one.
type (
	plain struct{ http.ResponseWriter }
	able  struct {
		http.ResponseWriter
		done *[]string
	}
	flusher  struct{ able }
	hijacker struct{ able }
	reader   struct{ able }
	pusher   struct{ able }
)

var errHijacked = errors.New("hijacked")

func (f flusher) Flush()                                        { *f.done = append(*f.done, "flush") }
func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, errHijacked }
func (r reader) ReadFrom(src io.Reader) (int64, error)          { return io.Copy(plain{r.ResponseWriter}, src) }

func (p pusher) Push(string, *http.PushOptions) error { *p.done = append(*p.done, "push"); return nil }

func TestG27_the_wrapper_can_what_the_original_can(t *testing.T) {
	t.Parallel()
	for mask := range 16 {
		var done []string
		rec := httptest.NewRecorder()
		base := able{plain{rec}, &done}
		original := combine(mask, base)
		w, _, _ := middleware.CommitWriter(original, "c=1; Path=/")
		f, isFlusher := w.(http.Flusher)
		h, isHijacker := w.(http.Hijacker)
		r, isReader := w.(io.ReaderFrom)
		p, isPusher := w.(http.Pusher)
		if got := []bool{isFlusher, isHijacker, isReader, isPusher}; !slices.Equal(got, []bool{mask&1 != 0, mask&2 != 0, mask&4 != 0, mask&8 != 0}) {
			t.Fatalf("mask %04b: %v", mask, got)
		}
		if w.(interface{ Unwrap() http.ResponseWriter }).Unwrap() != original {
			t.Errorf("mask %04b: Unwrap is not the original", mask)
		}
		if isPusher {
			_ = p.Push("/", nil)
		}
		if rec.Header().Get("Set-Cookie") != "" {
			t.Errorf("mask %04b: a push commits", mask)
		}
		switch {
		case isFlusher:
			f.Flush()
		case isHijacker:
			if _, _, err := h.Hijack(); !errors.Is(err, errHijacked) {
				t.Errorf("mask %04b: %v", mask, err)
			}
		case isReader:
			if n, err := r.ReadFrom(strings.NewReader("text")); n != 4 || err != nil {
				t.Errorf("mask %04b: %d, %v", mask, n, err)
			}
		default:
			_, _ = io.WriteString(w, "text")
		}
		if got := rec.Header()["Set-Cookie"]; !slices.Equal(got, []string{"c=1; Path=/"}) {
			t.Errorf("mask %04b: cookies %v", mask, got)
		}
	}
}

// combine returns base with the abilities of a mask: flush, hijack, read, push.
func combine(mask int, base able) http.ResponseWriter {
	f, h, r, p := flusher{base}, hijacker{base}, reader{base}, pusher{base}
	type (
		hf = http.Flusher
		hh = http.Hijacker
		ir = io.ReaderFrom
		hp = http.Pusher
		rw = http.ResponseWriter
	)
	return []rw{
		base, f, h,
		struct {
			rw
			hf
			hh
		}{base, f, h},
		r,
		struct {
			rw
			hf
			ir
		}{base, f, r},
		struct {
			rw
			hh
			ir
		}{base, h, r},
		struct {
			rw
			hf
			hh
			ir
		}{base, f, h, r},
		p,
		struct {
			rw
			hf
			hp
		}{base, f, p},
		struct {
			rw
			hh
			hp
		}{base, h, p},
		struct {
			rw
			hf
			hh
			hp
		}{base, f, h, p},
		struct {
			rw
			ir
			hp
		}{base, r, p},
		struct {
			rw
			hf
			ir
			hp
		}{base, f, r, p},
		struct {
			rw
			hh
			ir
			hp
		}{base, h, r, p},
		struct {
			rw
			hf
			hh
			ir
			hp
		}{base, f, h, r, p},
	}[mask]
}

func TestCookiesAtTheFirstByte(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(http.ResponseWriter){
		"Write":       func(w http.ResponseWriter) { _, _ = w.Write([]byte("x")) },
		"WriteString": func(w http.ResponseWriter) { _, _ = io.WriteString(w, "x") },
		"WriteHeader": func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) },
		"after 103":   func(w http.ResponseWriter) { w.WriteHeader(http.StatusEarlyHints); w.WriteHeader(http.StatusOK) },
	} {
		rec := httptest.NewRecorder()
		w, reserve, commit := middleware.CommitWriter(hints{rec}, "c=1; Path=/")
		write(w)
		commit()
		if got := rec.Result().Header["Set-Cookie"]; !slices.Equal(got, []string{"c=1; Path=/"}) {
			t.Errorf("%s: cookies %v", name, got)
		}
		if got := rec.Result().Header.Get("Cache-Control"); !strings.Contains(got, "no-store") {
			t.Errorf("%s: G28: a response with a session cookie may be cached: %q", name, got)
		}
		if _, ok := reserve(); ok {
			t.Errorf("%s: E10: a renewal may begin after the first byte", name)
		}
	}
}

// hints takes an informational answer as net/http does; a recorder takes it for the last.
type hints struct{ *httptest.ResponseRecorder }

func (h hints) WriteHeader(status int) {
	if status >= http.StatusOK {
		h.ResponseRecorder.WriteHeader(status)
	}
}

func TestG28_a_public_page_is_not_public_with_a_cookie(t *testing.T) {
	t.Parallel()
	rec := httptest.NewRecorder()
	w, _, _ := middleware.CommitWriter(rec, "c=1; Path=/")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	w.WriteHeader(http.StatusOK)
	if got := rec.Header().Get("Cache-Control"); got != "private, no-store" {
		t.Errorf("Cache-Control %q", got)
	}
}

func TestTheHandlersOwnCookieWins(t *testing.T) {
	t.Parallel()
	rec := httptest.NewRecorder()
	w, _, _ := middleware.CommitWriter(rec, "c=1; Path=/", "d=1; Path=/")
	w.Header().Add("Set-Cookie", "c=; Max-Age=0")
	w.WriteHeader(http.StatusOK)
	if got := rec.Header()["Set-Cookie"]; !slices.Equal(got, []string{"c=; Max-Age=0", "d=1; Path=/"}) {
		t.Errorf("cookies %v", got)
	}
}

// The first byte waits for a renewal that has begun: its cookies would be lost otherwise.
func TestTheFirstByteWaitsForARenewal(t *testing.T) {
	t.Parallel()
	bubble.Test(t, func(t *testing.T) {
		rec := httptest.NewRecorder()
		w, reserve, _ := middleware.CommitWriter(rec)
		release, ok := reserve()
		if !ok {
			t.Fatal("no renewal although nothing is written")
		}
		written := make(chan struct{})
		go func() {
			_, _ = w.Write([]byte("x"))
			close(written)
		}()
		synctest.Wait()
		select {
		case <-written:
			t.Error("the first byte did not wait")
		default:
		}
		release()
		<-written
	})
}
