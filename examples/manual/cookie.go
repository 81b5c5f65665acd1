package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
)

// __Host-: only this host, over its own connection, can have set it. Browsers treat localhost as secure.
const (
	loginCookie   = "__Host-manual-login"
	sessionCookie = "__Host-manual-session"
)

var errNoCookie = errors.New("this browser sent no such cookie, or not one that was made here")

// box seals cookies with AES-256-GCM: nobody can read or change them. The name is authenticated too, so that one cookie
// cannot stand in for the other.
type box struct{ aead cipher.AEAD }

func newBox() (box, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // a real app keeps its key, so that sessions outlive a restart
	block, err := aes.NewCipher(key)
	if err != nil {
		return box{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return box{aead}, err
}

func (b box) set(w http.ResponseWriter, name string, value []byte, site http.SameSite) {
	sealed := b.aead.Seal(nil, nil, value, []byte(name)) //nolint:gosec // the AEAD makes its nonces itself
	http.SetCookie(w, &http.Cookie{                      //nolint:gosec // SameSite is there: the callers say which
		Name: name, Value: base64.RawURLEncoding.EncodeToString(sealed), Path: "/", Secure: true, HttpOnly: true, SameSite: site,
	})
}

func (b box) get(r *http.Request, name string) ([]byte, error) {
	cookie, err := r.Cookie(name)
	if err != nil {
		return nil, errNoCookie
	}
	sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		return nil, errNoCookie
	}
	value, err := b.aead.Open(nil, nil, sealed, []byte(name))
	if err != nil {
		return nil, errNoCookie
	}
	return value, nil
}

func (b box) drop(w http.ResponseWriter, name string) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // None, as the cookie that it deletes
		Name: name, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteNoneMode,
	})
}
