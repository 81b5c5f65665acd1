package rp_test

import (
	"errors"
	"net/url"
	"testing"

	"github.com/twofold-auth/twofold/internal/wire"
	"github.com/twofold-auth/twofold/rp"
	"github.com/twofold-auth/twofold/rp/optest"
)

// The kinds of bytes, written down here once more and not read from the code under test.
const (
	kindRequest  = 0x11
	kindResponse = 0x21
	kindTokens   = 0x31
	kindUserInfo = 0x41
)

// writtenRequest is what follows the binding of a request.
type writtenRequest struct {
	state, nonce, verifier string
	responseType, mode     int64
	expect                 [][2]string
}

func (q writtenRequest) write(w *wire.Writer) {
	w.Text(q.state)
	w.Text(q.nonce)
	w.Text(q.verifier)
	w.Int(q.responseType)
	w.Int(q.mode)
	w.Bool(false) // no max_age
	w.Strings(nil)
	w.Int(int64(len(q.expect)))
	for _, pair := range q.expect {
		w.String(pair[0])
		w.String(pair[1])
	}
}

// parser writes bytes of our own as a client would, and has them read.
type parser struct {
	client  *rp.Client
	binding []byte
}

func newParser(t *testing.T) parser { return newParserOf(t, nil) }

func newParserOf(t *testing.T, change func(*rp.Config)) parser {
	t.Helper()
	client := lazyClient(t, change)
	q, err := client.NewAuthRequest(t.Context(), rp.AuthOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r := wire.NewReader(q.Bytes(), kindRequest)
	return parser{client, r.Bytes()}
}

func (p parser) writer(kind byte) wire.Writer {
	w := wire.NewWriter(kind, 256)
	w.Bytes(p.binding)
	return w
}

func (p parser) request(q writtenRequest) error {
	w := p.writer(kindRequest)
	q.write(&w)
	_, err := p.client.ParseAuthRequest(w.Done())
	return err
}

func (p parser) response(q writtenRequest, code, idToken string) error {
	w := p.writer(kindResponse)
	q.write(&w)
	w.Text(code)
	w.Bool(idToken != "")
	if idToken != "" {
		w.Text(idToken)
	}
	w.Bool(false) // no access token
	_, err := p.client.ParseAuthResponse(w.Done())
	return err
}

func (p parser) tokens(access string, idToken, login []byte) error {
	_, err := p.client.ParseTokens(p.tokenBytes(access, idToken, login))
	return err
}

func (p parser) tokenBytes(access string, idToken, login []byte) []byte {
	w := p.writer(kindTokens)
	w.Text(access)
	w.Text("refresh")
	w.Bool(false) // no expiry
	w.String("")
	w.Bool(false) // not renewed
	w.Bytes(idToken)
	w.Bytes(nil)
	w.Bytes(login)
	return w.Done()
}

// G07: bytes of the right kind, version and owner whose fields cannot be ours.
func TestFieldsThatNobodyWrote(t *testing.T) {
	t.Parallel()
	p := newParser(t)
	good := writtenRequest{state: "state", nonce: "nonce", verifier: "verifier", expect: [][2]string{{"org_id", "a"}}}
	with := func(change func(*writtenRequest)) writtenRequest {
		q := good
		change(&q)
		return q
	}
	for name, q := range map[string]writtenRequest{
		"G07_response_type_below_the_first": with(func(q *writtenRequest) { q.responseType = -1 }),
		"G07_response_type_after_the_last":  with(func(q *writtenRequest) { q.responseType = 5 }),
		"G07_response_mode_below_the_first": with(func(q *writtenRequest) { q.mode = -1 }),
		"G07_response_mode_after_the_last":  with(func(q *writtenRequest) { q.mode = 3 }),
		"G07_expected_claim_without_a_name": with(func(q *writtenRequest) { q.expect = [][2]string{{"", "a"}} }),
		"G07_nonce_empty":                   with(func(q *writtenRequest) { q.nonce = "" }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for kind, err := range map[string]error{"request": p.request(q), "answer": p.response(q, "code", "")} {
				if !errors.Is(err, rp.ErrFormat) {
					t.Errorf("%s: %v", kind, err)
				}
			}
		})
	}
	for name, row := range map[string]struct{ err, want error }{
		"G07_control_request":      {p.request(good), nil},
		"G07_control_answer":       {p.response(good, "code", ""), nil},
		"G07_control_tokens":       {p.tokens("access", []byte{1}, []byte(`{"sid":"1"}`)), nil},
		"G07_state_empty":          {p.request(with(func(q *writtenRequest) { q.state, q.expect = "", nil })), rp.ErrFormat},
		"G07_ID_Token_no_token":    {p.response(good, "code", "no token"), rp.ErrFormat},
		"G07_access_token_empty":   {p.tokens("", []byte{1}, nil), rp.ErrFormat},
		"G07_no_ID_Token":          {p.tokens("access", nil, nil), rp.ErrFormat},
		"G07_login_claims_no_JSON": {p.tokens("access", []byte{1}, []byte(`{"sid":`)), rp.ErrFormat},
		"G07_login_claims_a_list":  {p.tokens("access", []byte{1}, []byte(`[1]`)), rp.ErrFormat},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !errors.Is(row.err, row.want) {
				t.Errorf("%v, want %v", row.err, row.want)
			}
		})
	}
}

// D30: PKCE is left out only where Insecure says so, and where there is a code to protect.
func TestPKCEIsLeftOutOnlyWhereSaid(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		change func(*rp.Config)
		want   string
	}{
		"D30_always":             {nil, "S256"},
		"D30_insecure_without":   {func(c *rp.Config) { c.Insecure.NoPKCE = true }, ""},
		"D30_no_code_to_protect": {func(c *rp.Config) { c.ResponseType = rp.ImplicitIDToken }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := newClient(t, newOP(t, optest.Config{}), row.change)
			q, err := client.NewAuthRequest(t.Context(), rp.AuthOptions{})
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(q.Redirect().URL)
			if err != nil {
				t.Fatal(err)
			}
			if got := u.Query(); got.Get("code_challenge_method") != row.want || got.Has("code_challenge") != (row.want != "") {
				t.Errorf("%q", u.RawQuery)
			}
		})
	}
}
