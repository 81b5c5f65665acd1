package rp_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// A provider posts a logout token when a session has ended. The sessions that it means end here too.
func ExampleClient_VerifyLogoutToken() {
	op := optest.NewServer(optest.Config{ClientID: "app"})
	defer op.Close()
	ctx := context.Background()
	client, err := rp.New(ctx, rp.Config{
		Issuer: op.URL, ClientID: "app", ClientAuth: rp.Public(), RedirectURL: "http://127.0.0.1:9/callback",
		Insecure: rp.Insecure{PlainHTTP: true}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	raw := op.LogoutToken(map[string]any{"sub": "alice", "sid": "session-1"}) // logout_token of the POST form
	token, err := client.VerifyLogoutToken(ctx, raw)
	fmt.Println(token.Subject, token.SessionID, err)

	raw = op.LogoutToken(map[string]any{"sub": "alice", "aud": "another-client"})
	_, err = client.VerifyLogoutToken(ctx, raw)
	fmt.Println(rp.ErrorCode(err))
	// Output:
	// alice session-1 <nil>
	// logout_token
}
