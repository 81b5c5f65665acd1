package canary

import (
	"bytes"
	"io"
	"net/http"
	"sync"
)

// tap keeps the beginning of what is read.
type tap struct {
	io.ReadCloser
	closed func(text string)

	mu   sync.Mutex // guards what follows
	read bytes.Buffer
}

// Read implements [io.Reader].
func (t *tap) Read(b []byte) (int, error) {
	n, err := t.ReadCloser.Read(b)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.read.Write(b[:min(n, longest-t.read.Len())])
	return n, err
}

// Close implements [io.Closer].
func (t *tap) Close() error {
	if t.closed != nil {
		t.closed(t.text())
	}
	return t.ReadCloser.Close()
}

func (t *tap) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.read.String()
}

// listener keeps status and body of an answer.
type listener struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

// WriteHeader implements [http.ResponseWriter].
func (l *listener) WriteHeader(status int) {
	if l.status == 0 {
		l.status = status
	}
	l.ResponseWriter.WriteHeader(status)
}

// Write implements [io.Writer].
func (l *listener) Write(b []byte) (int, error) {
	l.body.Write(b[:min(len(b), longest-l.body.Len())])
	return l.ResponseWriter.Write(b)
}

// Flush implements [http.Flusher].
func (l *listener) Flush() { _ = http.NewResponseController(l.ResponseWriter).Flush() }

// Unwrap is for [http.ResponseController].
func (l *listener) Unwrap() http.ResponseWriter { return l.ResponseWriter }
