package verify_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"github.com/twofold-auth/twofold/verify"
)

// An answer with response_type=code id_token is checked before anything else is done with it; rp does this for you.
func ExamplePolicy_FrontChannel() {
	rawIDToken, keySet, clock := exampleAnswer()

	policy := &verify.Policy{
		Issuer:    "https://login.example.com/",
		ClientID:  "client-1",
		Algorithm: "ES256",
		Keys:      keySet,
		Now:       clock,
	}
	if err := policy.Validate(); err != nil {
		log.Fatal(err)
	}

	token, err := policy.FrontChannel(context.Background(), rawIDToken, verify.Expect{Nonce: nonce, State: state, Code: code})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Subject, "by", token.Receipt().Algorithm)
	for _, rule := range token.Receipt().Rules[15:19] {
		fmt.Println(rule.Name, "checked,", rule.Section)
	}

	// The same token beside another code: somebody injected it.
	_, err = policy.FrontChannel(context.Background(), rawIDToken, verify.Expect{Nonce: nonce, State: state, Code: "another"})
	var refusal *verify.Error
	fmt.Println(errors.Is(err, verify.ErrCodeHash), errors.As(err, &refusal) && refusal.Claim == "c_hash")
	// Output:
	// alice by ES256
	// iat_age checked, OIDC Core 3.1.3.7 (10)
	// nonce checked, OIDC Core 3.2.2.11 (1)
	// c_hash checked, OIDC Core 3.3.2.10
	// s_hash checked, FAPI 1.0 Advanced 5.2.3.1
	// true true
}

// The ID Tokens of both channels are compared.
func ExampleMatch() {
	first, second := exampleLogin()
	diff, err := verify.Match(first, second, verify.MatchAuthentication)
	fmt.Println(err)
	for _, d := range diff {
		fmt.Printf("%s: %s, then %q\n", d.Claim, d.First, d.Second)
	}

	_, err = verify.Match(first, second, verify.MatchStrict)
	fmt.Println(errors.Is(err, verify.ErrMismatch))
	// Output:
	// <nil>
	// email: "alice@example.com", then ""
	// true
}

// A claim fills a field only by its exact name.
func ExampleIDToken_Claims() {
	token, _ := exampleLogin()
	var claims struct {
		Name string `json:"name"`
	}
	if err := token.Claims(&claims); err != nil {
		log.Fatal(err)
	}
	fmt.Println(claims.Name)
	// Output: Alice
}

// A token does not end up in a log.
func ExampleIDToken_LogValue() {
	token, _ := exampleLogin()
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	logger.Info("logged in", "token", token)
	fmt.Printf("%+v\n", token)
	// Output:
	// level=INFO msg="logged in" token=verify.IDToken(redacted)
	// verify.IDToken(redacted)
}

func exampleAnswer() (raw string, keys verify.KeySet, clock func() time.Time) {
	tok := valid("ES256")
	return tok.raw(), tok.policy.Keys, tok.policy.Now
}

func exampleLogin() (first, second *verify.IDToken) {
	a, b := valid("ES256"), valid("ES256")
	delete(b.claims, "email")
	ctx := context.Background()
	return must(a.policy.FrontChannel(ctx, a.raw(), a.expect)), must(b.policy.TokenEndpoint(ctx, b.raw(), b.expect))
}
