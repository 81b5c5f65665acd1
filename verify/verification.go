package verify

import (
	"context"
	"crypto"
	"fmt"
	"hash"
	"iter"
	"time"

	"github.com/twofold-auth/twofold/internal/strictjson"
)

// verification is one token on its way through the rules. Each rule finds here what the rules before it have left.
type verification struct {
	against
	policy    *Policy
	algorithm *algorithm
	keys      func(kid string) iter.Seq2[Key, error]
	now       time.Time

	raw     string
	parts   [3]string // header, payload, signature, as they came
	signed  string    // what the signature is over
	payload string    // decoded, not to be read before the signature is right
	sig     []byte

	header struct{ typ, alg, kid, crit, b64 strictjson.Value }
	keyID  string
	claims claims
	token  *IDToken // filled from the claims, handed out when every rule has passed

	about     string // which claim a rule refuses, where the table cannot know it
	tried     [maxKeys]crypto.PublicKey
	checking  time.Duration // the signature
	hashState hash.Hash
	chunk     [256]byte
	sum       [64]byte
}

// against is what a token is compared with, beside the policy.
type against struct {
	expect   Expect   // front, exchange
	previous *IDToken // refresh
	subject  string   // userInfo
}

// verify runs the rules that apply to a channel of ID Tokens.
func (p *Policy) verify(ctx context.Context, raw string, on channel, to against) (*IDToken, error) {
	v, err := p.judge(ctx, raw, on, to)
	if err != nil {
		return nil, err
	}
	return v.token, nil
}

// judge runs the rules that apply to a channel, and returns what they left.
func (p *Policy) judge(ctx context.Context, raw string, on channel, to against) (*verification, error) {
	a, err := p.resolve()
	if err != nil {
		return nil, &Error{Rule: Rule{"policy", "Policy.Validate"}, Err: err}
	}
	v := &verification{policy: p, algorithm: a, against: to, now: p.now(), raw: raw}
	v.keys = func(kid string) iter.Seq2[Key, error] { return p.Keys.Keys(ctx, a.name, kid) }
	passed, err := v.run(on)
	if err != nil {
		return nil, err
	}
	kept := v.token.state
	*kept.text = tokenText{raw, v.payload}
	kept.algorithm, kept.keyID, kept.passed = a.name, v.keyID, passed
	kept.signature, kept.total = v.checking, p.now().Sub(v.now)
	return v, nil
}

func (v *verification) run(on channel) (passed uint64, err error) {
	for i := range rules {
		r := &rules[i]
		if r.on&on == 0 {
			continue
		}
		switch err := r.check(v); {
		case err == nil:
			passed |= 1 << i
		case err != errNotApplicable: //nolint:errorlint // nobody wraps it, and most rules say it
			return 0, &Error{Rule: r.Rule, Claim: r.about + v.about, Err: err}
		}
	}
	return passed, nil
}

// digest hashes text with the algorithm's hash. The result is good until the next call.
func (v *verification) digest(text string) []byte {
	if v.hashState == nil {
		v.hashState = v.algorithm.hash.New()
	}
	v.hashState.Reset()
	v.feed(v.hashState, text)
	return v.hashState.Sum(v.sum[:0])
}

// feed writes text piece by piece, which saves a copy of the whole.
func (v *verification) feed(h hash.Hash, text string) {
	for len(text) > 0 {
		n := copy(v.chunk[:], text)
		h.Write(v.chunk[:n]) // never fails, says hash.Hash
		text = text[n:]
	}
}

// because adds a fixed explanation to a sentinel.
func because(sentinel error, detail string) error { return fmt.Errorf("%w: %s", sentinel, detail) }
