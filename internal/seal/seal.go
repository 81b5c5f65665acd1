// Package seal encrypts and authenticates values that leave the process: cookies and what a session store keeps.
//
// A [Ring] holds the keys of one owner; a [Box] is a ring for one purpose. Each purpose has its own key, derived by
// HKDF-SHA-256, and what was sealed for one purpose, owner, name or format version never opens for another:
//
//	value      = version || key ID || nonce || AES-256-GCM ciphertext and tag
//	associated = version || purpose || each of the bound texts, with their lengths
//
// A value that is a text, for a cookie, is written as base64url.
//
// Nothing is compressed before it is encrypted: the length would tell what was guessed right.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/twofold-auth/twofold/internal/base64url"
)

// Errors of this package. Neither says anything about the plaintext.
var (
	// ErrOpen says that a value was not sealed by this ring for this purpose and these bound texts, or was changed.
	ErrOpen = errors.New("seal: value does not open")
	// ErrExhausted says that a key has sealed as many values as random nonces allow. Put a new key in front.
	ErrExhausted = errors.New("seal: key is used up")
)

const (
	version   = 1
	idSize    = 4
	nonceSize = 12
	tagSize   = 16
	headSize  = 1 + idSize + nonceSize
	// MaxSeals is how often one process seals with one key for one purpose: with 2^32 random nonces of 96 bits the
	// chance that two are equal is 2^-33 (NIST SP 800-38D, section 8.3).
	MaxSeals = 1 << 32
)

var encoding = base64.RawURLEncoding

// Ring holds the keys of one owner: the first seals, all open. It is safe for concurrent use.
type Ring struct {
	keys  [][]byte
	owner string
}

// NewRing checks the keys by [CheckKey] and copies them. Owner separates users of equal keys from each other.
func NewRing(keys [][]byte, owner string) (*Ring, error) {
	if len(keys) == 0 {
		return nil, errors.New("no key")
	}
	r := &Ring{owner: owner}
	for i, key := range keys {
		if err := CheckKey(key); err != nil {
			return nil, fmt.Errorf("key %d: %w", i, err)
		}
		r.keys = append(r.keys, append([]byte(nil), key...))
	}
	return r, nil
}

// Box returns the ring for one purpose.
func (r *Ring) Box(purpose string) (*Box, error) {
	b := &Box{prefix: appendText([]byte{version}, purpose)}
	for _, key := range r.keys {
		k, err := newSealKey(r.derive(key, "id", "", idSize), r.derive(key, "seal", purpose, 32))
		if err != nil {
			return nil, err
		}
		b.keys = append(b.keys, k)
	}
	return b, nil
}

// MAC returns a function that authenticates texts for one purpose with the first key, and one that checks what it
// returned, with any key.
func (r *Ring) MAC(purpose string) (sign func(text string) string, check func(text, mac string) bool) {
	keys := make([][]byte, len(r.keys))
	for i, key := range r.keys {
		keys[i] = r.derive(key, "mac", purpose, 32)
	}
	sum := func(key []byte, text string) string {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(text))
		return encoding.EncodeToString(m.Sum(nil)[:16])
	}
	sign = func(text string) string { return sum(keys[0], text) }
	check = func(text, mac string) bool {
		for _, key := range keys {
			if hmac.Equal([]byte(sum(key, text)), []byte(mac)) {
				return true
			}
		}
		return false
	}
	return sign, check
}

// Marks returns a function that turns a text into one mark for each key, the first key's first: equal texts have equal
// marks, and a mark tells nothing about its text to those who have no key. Whoever looks for one of several marks finds
// what was marked before a new key came in front, and by those who do not have it yet.
func (r *Ring) Marks(purpose string) func(text string) []string {
	keys := make([][]byte, len(r.keys))
	for i, key := range r.keys {
		keys[i] = r.derive(key, "mark", purpose, 32)
	}
	return func(text string) []string {
		marks := make([]string, len(keys))
		for i, key := range keys {
			m := hmac.New(sha256.New, key)
			m.Write([]byte(text))
			marks[i] = encoding.EncodeToString(m.Sum(nil)[:16])
		}
		return marks
	}
}

// derive returns a subkey. The owner is the salt; HKDF with an allowed length cannot fail.
func (r *Ring) derive(key []byte, use, purpose string, size int) []byte {
	out, err := hkdf.Key(sha256.New, key, []byte(r.owner), "twofold "+use+" "+purpose, size)
	if err != nil {
		panic("seal: " + err.Error())
	}
	return out
}

// Box seals and opens for one purpose. It is safe for concurrent use.
type Box struct {
	prefix []byte // version and purpose, the start of the associated data
	keys   []*sealKey
}

type sealKey struct {
	id    [idSize]byte
	aead  cipher.AEAD
	seals atomic.Uint64
}

func newSealKey(id, key []byte) (*sealKey, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &sealKey{id: [idSize]byte(id), aead: aead}, nil
}

// Seal encrypts plain and binds it to texts, which [Box.Open] must be given again, in the same order.
func (b *Box) Seal(plain []byte, bound ...string) (string, error) {
	sealed, err := b.SealBytes(plain, bound...)
	if err != nil {
		return "", err
	}
	return encoding.EncodeToString(sealed), nil
}

// SealBytes is Seal for a place that keeps bytes: the value is not written as base64url.
func (b *Box) SealBytes(plain []byte, bound ...string) ([]byte, error) {
	k := b.keys[0]
	if k.seals.Add(1) > MaxSeals {
		return nil, ErrExhausted
	}
	size := headSize + len(plain) + tagSize
	buf := make([]byte, headSize, size+b.dataSize(bound))
	buf[0] = version
	copy(buf[1:], k.id[:])
	nonce := buf[1+idSize : headSize]
	_, _ = rand.Read(nonce) // never fails: crypto/rand ends the process instead
	data := b.appendData(buf[size:size], bound)
	return k.aead.Seal(buf, nonce, plain, data), nil
}

// Open returns what was sealed, or [ErrOpen]. The result is the caller's own.
func (b *Box) Open(text string, bound ...string) ([]byte, error) {
	size := base64url.Size(len(text))
	if size < headSize+tagSize {
		return nil, ErrOpen
	}
	buf := make([]byte, 0, size+b.dataSize(bound))
	sealed, ok := base64url.Append(buf, text)
	if !ok {
		return nil, ErrOpen
	}
	return b.open(sealed[headSize:headSize], sealed, b.appendData(buf[size:size], bound))
}

// OpenBytes is Open for what [Box.SealBytes] returned, which it does not change.
func (b *Box) OpenBytes(sealed []byte, bound ...string) ([]byte, error) {
	size := len(sealed) - headSize - tagSize
	if size < 0 {
		return nil, ErrOpen
	}
	buf := make([]byte, 0, size+b.dataSize(bound))
	return b.open(buf, sealed, b.appendData(buf[size:size], bound))
}

// open decrypts sealed, at least a head and a tag, into dst. Data is what is authenticated with it.
func (b *Box) open(dst, sealed, data []byte) ([]byte, error) {
	k := b.key([idSize]byte(sealed[1:]))
	if sealed[0] != version || k == nil {
		return nil, ErrOpen
	}
	plain, err := k.aead.Open(dst, sealed[1+idSize:headSize], sealed[headSize:], data)
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

func (b *Box) key(id [idSize]byte) *sealKey {
	for _, k := range b.keys {
		if k.id == id {
			return k
		}
	}
	return nil
}

// TextSize is the length of the sealed form of size bytes.
func TextSize(size int) int { return encoding.EncodedLen(headSize + size + tagSize) }

func (b *Box) dataSize(bound []string) int {
	size := len(b.prefix)
	for _, t := range bound {
		size += binary.MaxVarintLen32 + len(t)
	}
	return size
}

func (b *Box) appendData(dst []byte, bound []string) []byte {
	dst = append(dst, b.prefix...)
	for _, t := range bound {
		dst = appendText(dst, t)
	}
	return dst
}

// appendText appends a text with its length, so that no two lists of texts look alike.
func appendText(dst []byte, text string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}
