package verify

import (
	"strings"

	"github.com/twofold-auth/twofold/internal/restore"
)

func init() { restore.IDToken = restored }

// restored rebuilds a token that was verified before, or only its claims. See package restore.
func restored(raw string) (any, error) {
	v := verification{raw: raw}
	text := tokenText{raw: raw}
	if strings.HasPrefix(raw, "{") {
		v.payload, text.raw = raw, ""
	} else if err := v.open(); err != nil {
		return nil, err
	}
	if err := v.readClaims(); err != nil {
		return nil, err
	}
	if v.token.Issuer == "" || v.token.Subject == "" {
		return nil, because(ErrMalformed, "no issuer or subject")
	}
	text.payload = v.payload
	kept := v.token.state
	*kept.text = text
	kept.algorithm, _ = v.header.alg.Text()
	kept.keyID, _ = v.header.kid.Text()
	return v.token, nil
}

// open takes a JWS apart.
func (v *verification) open() error {
	for _, step := range []func() error{v.size, v.compact, v.base64url, v.readHeader} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
