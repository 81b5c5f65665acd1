// Command empty is the program that the others are compared with: a server that knows nothing of OpenID Connect.
package main

import (
	"fmt"
	"net/http"
	"os"
	"time"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprintln(w, "Hello", r.URL.Path) })
	server := &http.Server{Addr: os.Getenv("ADDR"), ReadHeaderTimeout: time.Minute}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
}
