// Command zitadel is the empty program with logins by zitadel/oidc.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/zitadel/oidc/v3/pkg/client/rp"
	zhttp "github.com/zitadel/oidc/v3/pkg/http"
	"github.com/zitadel/oidc/v3/pkg/oidc"
)

func main() {
	key := []byte(os.Getenv("KEY"))
	party, err := rp.NewRelyingPartyOIDC(context.Background(), os.Getenv("ISSUER"), os.Getenv("CLIENT"), os.Getenv("SECRET"), os.Getenv("REDIRECT"),
		[]string{"openid"}, rp.WithPKCE(zhttp.NewCookieHandler(key, key)))
	if err != nil {
		panic(err)
	}
	http.Handle("/login", rp.AuthURLHandler(rand.Text, party))
	http.Handle("/callback", rp.CodeExchangeHandler(func(w http.ResponseWriter, _ *http.Request, t *oidc.Tokens[*oidc.IDTokenClaims], _ string, _ rp.RelyingParty) {
		_, _ = fmt.Fprintln(w, t.IDTokenClaims.Subject)
	}, party))
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprintln(w, "Hello", r.URL.Path) })
	server := &http.Server{Addr: os.Getenv("ADDR"), ReadHeaderTimeout: time.Minute}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
}
