package verify

import (
	"crypto"
	"crypto/hmac"
	"fmt"
)

// signature looks for the key, and measures the time.
func (v *verification) signature() error {
	start := v.policy.now()
	var err error
	switch v.algorithm.family {
	case mac:
		err = v.checkMAC()
	case edwards:
		err = v.checkKeys([]byte(v.signed))
	default:
		err = v.checkKeys(v.digest(v.signed))
	}
	v.checking = v.policy.now().Sub(start)
	return err
}

func (v *verification) checkMAC() error {
	h := hmac.New(v.algorithm.hash.New, v.policy.Secret)
	v.feed(h, v.signed)
	if !hmac.Equal(h.Sum(v.sum[:0]), v.sig) {
		return ErrSignature
	}
	return nil
}

// checkKeys tries the candidates one by one. Going on to the next one is what makes a key set fetch.
func (v *verification) checkKeys(signed []byte) error {
	tried := 0
	for key, err := range v.keys(v.keyID) {
		switch {
		case err != nil:
			return fmt.Errorf("%w: %w", ErrKeySet, err)
		case !v.algorithm.accepts(key, v.keyID) || v.wasTried(key.Public, tried):
			continue
		case v.algorithm.verifies(key.Public, signed, v.sig):
			return nil
		}
		v.tried[tried] = key.Public
		if tried++; tried == maxKeys {
			break
		}
	}
	if tried == 0 {
		return ErrKey
	}
	return ErrSignature
}

// wasTried: a fetch often brings the same keys again.
func (v *verification) wasTried(key crypto.PublicKey, n int) bool {
	for _, t := range v.tried[:n] {
		if k, ok := t.(interface{ Equal(x crypto.PublicKey) bool }); ok && k.Equal(key) {
			return true
		}
	}
	return false
}
