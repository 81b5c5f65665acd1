package rp_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/twofold-auth/twofold/rp"
)

// Law: an answer that is accepted has every known parameter at most once, the state of the request, the provider's iss
// or none, no error, and exactly what its response type promises.
func FuzzVerifyResponse(f *testing.F) {
	for _, seed := range []string{
		"state=STATE&code=c", "state=STATE&code=c&iss=https%3A%2F%2Fop.example%2F", "state=STATE&code=c&code=c",
		"state=STATE&code=c&iss=https%3A%2F%2Fop.example", "state=STATE&state=STATE&code=c", "state=x&code=c",
		"state=STATE&code=c&error=", "state=STATE&code=c&error=access_denied", "state=STATE&code=c&id_token=x",
		"state=STATE&code=c&access_token=t&token_type=bearer", "state=STATE&code=%00", "code=c", "state=STATE",
		"state=STATE&code=c&response=x", "state=STATE&code=c&session_state=x&foo=1&foo=2",
	} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	clients := map[bool]*rp.Client{}
	for withToken, t := range map[bool]rp.ResponseType{false: rp.Code, true: rp.CodeToken} {
		clients[withToken] = lazyClient(f, func(c *rp.Config) { c.ResponseType = t })
	}
	f.Fuzz(func(t *testing.T, form string, withToken bool) {
		q, err := clients[withToken].NewAuthRequest(t.Context(), rp.AuthOptions{})
		if err != nil {
			t.Fatal(err)
		}
		params, err := url.ParseQuery(strings.ReplaceAll(form, "STATE", q.State()))
		if err != nil {
			return
		}
		a, err := clients[withToken].VerifyResponse(t.Context(), q, params)
		if (a == nil) == (err == nil) || (err != nil) != (rp.ErrorCode(err) != "") {
			t.Fatalf("%v, %v", a, err)
		}
		if err != nil {
			return
		}
		for _, name := range []string{"state", "iss", "code", "id_token", "access_token", "token_type", "error", "response"} {
			if len(params[name]) > 1 {
				t.Errorf("%s was there twice", name)
			}
		}
		iss := params.Get("iss")
		if params.Get("state") != q.State() || params.Get("error") != "" || (iss != "" && iss != "https://op.example/") {
			t.Errorf("accepted: %q", form)
		}
		for name, promised := range map[string]bool{
			"code": true, "access_token": withToken, "id_token": false, "response": false, "refresh_token": false,
		} {
			if (params.Get(name) != "") != promised {
				t.Errorf("accepted with or without %s: %q", name, form)
			}
		}
	})
}

// Law: metadata that is accepted names this issuer and only endpoints that we dare to use.
func FuzzMetadata(f *testing.F) {
	f.Add(goodMetadata)
	f.Add(strings.Replace(goodMetadata, "https://other", "http://other", 1))
	f.Add(strings.Replace(goodMetadata, `"x"`, `"issuer"`, 1))
	f.Add(`{}`)
	client := lazyClient(f, func(c *rp.Config) { c.Endpoints = nil })
	f.Fuzz(func(t *testing.T, text string) {
		e, err := rp.ReadMetadata(client, text)
		if err != nil {
			return
		}
		for _, endpoint := range []string{e.Authorization, e.Token, e.JWKS, e.UserInfo, e.EndSession} {
			u, err := url.Parse(endpoint)
			if endpoint != "" && (err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "") {
				t.Errorf("accepted: %q", endpoint)
			}
		}
		if e.Authorization == "" || e.Token == "" || e.JWKS == "" {
			t.Errorf("an endpoint is missing: %+v", e)
		}
	})
}

// Law: a key set is read or refused, every key of it is used or skipped, and no key without its public half is used.
func FuzzKeys(f *testing.F) {
	f.Add(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`)
	f.Add(`{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","kid":"a"}]}`)
	f.Add(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"oct","k":"AA"},7,null]}`)
	f.Add(`{"keys":{}}`)
	f.Add(`{"a":1,"keys":[{"kid":"a","kid":"b"},{"kid":"\ud800"},{"kty":"moon"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		keys, skipped, err := rp.ParseKeys(text)
		if err != nil && (keys != nil || skipped != nil) {
			t.Error("refused and read")
		}
		for _, key := range keys {
			if key.Public == nil {
				t.Error("a key without a key")
			}
		}
	})
}

// Law: bytes that are accepted come out again as they went in, or as bytes that mean the same.
func FuzzParse(f *testing.F) {
	client := lazyClient(f, nil)
	q, err := client.NewAuthRequest(f.Context(), rp.AuthOptions{
		EssentialACR: []string{"gold"}, Expect: map[string]string{"org_id": "o"},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(q.Bytes())
	f.Add([]byte{0x21, 8, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := client.ParseAuthResponse(b); err == nil {
			if _, err := client.ParseAuthResponse(a.Bytes()); err != nil {
				t.Error(err)
			}
		}
		if tokens, err := client.ParseTokens(b); err == nil {
			_, _, _ = tokens.IDToken(), tokens.First(), tokens.Diff()
			_ = tokens.Claims(&map[string]any{})
		}
		q, err := client.ParseAuthRequest(b)
		if err != nil {
			return
		}
		again, err := client.ParseAuthRequest(q.Bytes())
		if err != nil || again.State() != q.State() || string(again.Bytes()) != string(q.Bytes()) {
			t.Errorf("%x does not survive a second time: %v", b, err)
		}
	})
}
