package middleware_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/gorilla/sessions"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp/optest"
)

// One instance can keep its sessions in any gorilla store: here in files. The store's own limit of 4 KB is too small for
// tokens, and New says so; the key is the store's.
func ExampleConfig_gorillaStore() {
	provider := optest.NewServer(optest.Config{})
	defer provider.Close()
	mux := http.NewServeMux()
	app := httptest.NewServer(mux)
	defer app.Close()
	dir, err := os.MkdirTemp("", "sessions")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	key := make([]byte, 32)
	_, _ = rand.Read(key) // in production from a secret store

	store := sessions.NewFilesystemStore(dir, key)
	_, err = newAuth(provider.URL, app.URL, middleware.Config{Store: store})
	fmt.Println("4 KB:", err != nil)
	store.MaxLength(64 << 10)
	auth, err := newAuth(provider.URL, app.URL, middleware.Config{Store: store})
	if err != nil {
		log.Fatal(err)
	}
	auth.Register(mux)
	mux.Handle("GET /account", auth.RequireLogin(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "Hello "+middleware.FromContext(r.Context()).Subject)
	})))

	page, err := optest.NewBrowser(nil).Open(context.Background(), app.URL+"/account")
	if err != nil {
		log.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(page.Text(), "from", len(files), "file")
	// Output:
	// 4 KB: true
	// Hello alice from 1 file
}
