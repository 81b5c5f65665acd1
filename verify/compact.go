package verify

import (
	"strings"

	"github.com/twofold-auth/twofold/internal/base64url"
	"github.com/twofold-auth/twofold/internal/strictjson"
)

const (
	// maxToken is the longest token that is looked at. Real ones are below 8 KiB: they travel in headers and cookies.
	maxToken = 64 << 10
	// maxKeyID is the longest kid.
	maxKeyID = 255
)

func (v *verification) size() error {
	if len(v.raw) > maxToken {
		return because(ErrMalformed, "longer than 64 KiB")
	}
	return nil
}

// compact cuts the token at its two dots. It never splits by a separator that the sender chose the number of.
func (v *verification) compact() error {
	header, rest, ok := strings.Cut(v.raw, ".")
	payload, signature, ok2 := strings.Cut(rest, ".")
	switch {
	case !ok || !ok2:
		return because(ErrMalformed, "not three parts")
	case strings.IndexByte(signature, '.') >= 0:
		return because(ErrMalformed, "more than three parts; encrypted tokens are not supported")
	}
	v.parts = [3]string{header, payload, signature}
	v.signed = v.raw[:len(header)+1+len(payload)]
	return nil
}

// base64url decodes payload and signature, and refuses a second spelling of the same bytes: no padding, no line breaks
// (which encoding/base64 skips), no bits left over.
func (v *verification) base64url() error {
	var ok bool
	if v.payload, ok = base64url.Text(v.parts[1]); !ok {
		return because(ErrMalformed, "payload is not base64url")
	}
	if v.sig, ok = base64url.Append(nil, v.parts[2]); !ok {
		return because(ErrMalformed, "signature is not base64url")
	}
	return nil
}

// readHeader takes what we obey from the header. jwk, jku, x5u and x5c are not there: a token does not bring its own
// key (RFC 8725 3.10).
func (v *verification) readHeader() error {
	text, ok := base64url.Text(v.parts[0])
	if !ok {
		return because(ErrMalformed, "header is not base64url")
	}
	var members [16]strictjson.Member
	header, err := strictjson.AppendObject(members[:0], text)
	if err != nil {
		return because(ErrMalformed, "header: "+err.Error())
	}
	for _, m := range header {
		switch m.Name {
		case "typ":
			v.header.typ = m.Value
		case "alg":
			v.header.alg = m.Value
		case "kid":
			v.header.kid = m.Value
		case "crit":
			v.header.crit = m.Value
		case "b64":
			v.header.b64 = m.Value
		}
	}
	return nil
}

// typ refuses a JWT that says it is of another kind: at+jwt, logout+jwt, and whatever will be registered. An ID Token
// says JWT or nothing.
func (v *verification) typ() error {
	if !v.header.typ.Exists() {
		return errNotApplicable
	}
	typ, ok := v.header.typ.Text()
	if !ok {
		return because(ErrType, "typ is not a string")
	}
	const suffix = "+jwt"
	if len(typ) >= len(suffix) && strings.EqualFold(typ[len(typ)-len(suffix):], suffix) {
		return ErrType
	}
	return nil
}

// crit: "If any of the listed extension Header Parameters are not understood and supported by the recipient, then the
// JWS is invalid." We support none, and an empty list is invalid too.
func (v *verification) crit() error {
	if v.header.crit.Exists() {
		return because(ErrMalformed, "crit is not supported")
	}
	return errNotApplicable
}

// b64 of RFC 7797 would change what the signature is over.
func (v *verification) b64() error {
	if v.header.b64.Exists() {
		return because(ErrMalformed, "b64 is not supported")
	}
	return errNotApplicable
}

// alg is pinned: the token does not choose how it is checked.
func (v *verification) alg() error {
	if alg, ok := v.header.alg.Text(); !ok || alg != v.algorithm.name {
		return because(ErrAlgorithm, "want "+v.algorithm.name)
	}
	return nil
}

func (v *verification) kid() error {
	if !v.header.kid.Exists() {
		return errNotApplicable
	}
	kid, ok := v.header.kid.Text()
	if !ok || kid == "" || len(kid) > maxKeyID {
		return because(ErrMalformed, "kid is not a string of 1 to 255 bytes")
	}
	v.keyID = kid
	return nil
}
