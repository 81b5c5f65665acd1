package rp

import (
	"context"
	"crypto/sha256"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/twofold-auth/twofold/verify"
)

// The key set's times. A set is renewed after its Cache-Control max-age, within freshLeast and freshMost, and is no
// longer used keysMaxAge after it was fetched, so that a key that the provider withdrew ends with it.
const (
	freshLeast   = 5 * time.Minute
	freshMost    = 24 * time.Hour
	freshDefault = time.Hour
	keysMaxAge   = 48 * time.Hour
)

// The token buckets of refetches: a provider that rotates twice within seconds is followed, forged tokens make us ask no
// more often. Logout tokens, which any stranger can post, have a bucket of their own: they take nothing from the logins.
const (
	bucketSize   = 4
	logoutBucket = 2
	bucketRefill = 30 * time.Second
	askedPause   = 30 * time.Second // the same kid of the same set is not asked for again
)

// keys is one copy of the provider's key set.
type keys struct {
	list []verify.Key
	byID map[string][]verify.Key
	sum  [sha256.Size]byte // of the document: tells one set from the next
}

// keySet is the provider's key set, fetched when it is needed. It implements [verify.KeySet].
type keySet struct {
	client *Client
	cached *cached[keys]
	logins refetches
	logout refetches
}

// refetches is one token bucket, guarded by cached.mu.
type refetches struct {
	size, left int
	refilled   time.Time
	asked      map[string]asking
}

// asking remembers for which set a kid was asked for, and when.
type asking struct {
	sum [sha256.Size]byte
	at  time.Time
}

func newKeySet(c *Client) *keySet {
	s := &keySet{
		client: c,
		logins: refetches{size: bucketSize, left: bucketSize, asked: map[string]asking{}},
		logout: refetches{size: logoutBucket, left: logoutBucket, asked: map[string]asking{}},
	}
	s.cached = &cached[keys]{fetch: s.fetch, maxAge: keysMaxAge, now: c.cfg.Now, work: c.work}
	return s
}

// Keys implements [verify.KeySet].
func (s *keySet) Keys(ctx context.Context, _, kid string) iter.Seq2[verify.Key, error] {
	return s.keys(ctx, kid, &s.logins)
}

// logoutKeys is the same set for tokens that come without a login.
type logoutKeys struct{ *keySet }

// Keys implements [verify.KeySet].
func (l logoutKeys) Keys(ctx context.Context, _, kid string) iter.Seq2[verify.Key, error] {
	return l.keys(ctx, kid, &l.logout)
}

func (s *keySet) keys(ctx context.Context, kid string, from *refetches) iter.Seq2[verify.Key, error] {
	return func(yield func(verify.Key, error) bool) {
		set, err := s.cached.get(ctx)
		if err != nil {
			yield(verify.Key{}, err)
			return
		}
		if !set.yield(kid, yield) {
			return
		}
		set, err = s.newer(ctx, set, kid, from)
		if err != nil {
			yield(verify.Key{}, err)
			return
		}
		if set != nil {
			set.yield(kid, yield)
		}
	}
}

// yield passes on the candidates for kid and reports whether more are wanted.
func (k *keys) yield(kid string, yield func(verify.Key, error) bool) bool {
	candidates := k.list
	if kid != "" {
		candidates = k.byID[kid]
	}
	for _, key := range candidates {
		if !yield(key, nil) {
			return false
		}
	}
	return true
}

// newer returns another set than have, because no key of have fits; nil if there is none, or if we may not ask now. A
// fetch that others started may have begun before the provider's rotation: then one of our own follows. If the last fetch
// failed nobody knows whether there is a key that fits, and that is the error, also where we may not ask.
func (s *keySet) newer(ctx context.Context, have *keys, kid string, from *refetches) (*keys, error) {
	same := func(k *keys) bool { return k.sum == have.sum }
	for range 2 {
		own := false
		flight := s.cached.replace(ctx, same, func() bool {
			if s.cached.err != nil {
				delete(from.asked, kid) // that told us nothing
			}
			own = from.mayAsk(kid, have.sum, s.client.cfg.Now())
			return own
		})
		if flight != nil {
			if err := flight.wait(ctx); err != nil {
				return nil, err
			}
		}
		if set := s.cached.peek(); set != nil && !same(set) {
			return set, nil
		}
		if own || flight == nil {
			break
		}
	}
	return nil, s.cached.failure()
}

// mayAsk takes a token from the bucket, once for each kid of a set. cached.mu is held.
func (f *refetches) mayAsk(kid string, sum [sha256.Size]byte, now time.Time) bool {
	for k, a := range f.asked {
		if now.Sub(a.at) >= askedPause {
			delete(f.asked, k)
		}
	}
	if a, ok := f.asked[kid]; ok && a.sum == sum {
		return false
	}
	if back := int(now.Sub(f.refilled) / bucketRefill); f.left < f.size && back > 0 {
		f.left = min(f.left+back, f.size)
		f.refilled = f.refilled.Add(time.Duration(back) * bucketRefill)
	}
	if f.left == 0 {
		return false
	}
	if f.left == f.size {
		f.refilled = now
	}
	f.left--
	f.asked[kid] = asking{sum: sum, at: now}
	return true
}

// fetch reads the provider's key set once.
func (s *keySet) fetch(ctx context.Context) (keys, time.Duration, error) {
	start := s.client.cfg.Now()
	set, fresh, err := s.load(ctx)
	if err != nil {
		err = fmt.Errorf("rp: key set: %w", unavailable(err))
	}
	s.client.observe(ctx, eventKeys, start, nil, err)
	return set, fresh, err
}

func (s *keySet) load(ctx context.Context) (keys, time.Duration, error) {
	p, err := s.client.provider.get(ctx)
	if err != nil {
		return keys{}, 0, err
	}
	a, err := s.client.get(ctx, p.endpoints.JWKS, maxKeys)
	if err != nil {
		return keys{}, 0, err
	}
	list, skipped, err := parseKeys(string(a.body))
	if err != nil {
		return keys{}, 0, err
	}
	if len(list) == 0 {
		return keys{}, 0, fmt.Errorf("no usable key among %d", len(skipped))
	}
	set := keys{list: list, byID: map[string][]verify.Key{}, sum: sha256.Sum256(a.body)}
	for _, key := range list {
		set.byID[key.ID] = append(set.byID[key.ID], key)
	}
	s.logSkipped(set.sum, skipped)
	return set, freshness(a.header.Get("Cache-Control")), nil
}

// logSkipped warns of keys that are not used, once for each set.
func (s *keySet) logSkipped(sum [sha256.Size]byte, skipped []error) {
	if old := s.cached.peek(); len(skipped) == 0 || (old != nil && old.sum == sum) {
		return
	}
	first := skipped[0].Error()
	s.client.cfg.Logger.Warn("rp: keys of the provider are skipped",
		"issuer", s.client.cfg.Issuer, "count", len(skipped), "first", clean(first, maxDescription))
}

// freshness is how long a set is used without asking, by its Cache-Control.
func freshness(header string) time.Duration {
	fresh := freshDefault
	for directive := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return freshLeast
		case "max-age":
			if seconds, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 64); err == nil && seconds >= 0 {
				fresh = time.Duration(min(seconds, int64(freshMost/time.Second))) * time.Second
			}
		}
	}
	return min(max(fresh, freshLeast), freshMost)
}
