package middleware

import "sync"

// tasks are the goroutines of an Auth. Unlike those of a sync.WaitGroup they may begin while somebody waits for them: a
// worker, or a request that a server's shutdown has left behind, does not know that Close was called.
type tasks struct {
	mu      sync.Mutex // guards what follows
	running int
	none    chan struct{} // closed when running is 0 again; nil: nobody waits
}

// Go runs f in a goroutine of its own.
func (t *tasks) Go(f func()) {
	t.mu.Lock()
	t.running++
	t.mu.Unlock()
	go func() {
		defer t.done()
		f()
	}()
}

func (t *tasks) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running--; t.running == 0 && t.none != nil {
		close(t.none)
		t.none = nil
	}
}

// Wait returns when none is running.
func (t *tasks) Wait() {
	t.mu.Lock()
	if t.running == 0 {
		t.mu.Unlock()
		return
	}
	if t.none == nil {
		t.none = make(chan struct{})
	}
	none := t.none
	t.mu.Unlock()
	<-none
}
