package middleware

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/twofold-auth/twofold/internal/seal"
	"github.com/twofold-auth/twofold/rp"
)

// cookieStore keeps a session in the browser: the identity part in one sealed cookie, the token part sealed once and
// cut into chunks. Each chunk begins with its index and the count of all; the count, the names' prefix and the
// session's ID are authenticated with the token part, the chunks' order by its tag.
type cookieStore struct {
	names    cookieNames
	client   *rp.Client
	identity *seal.Box
	tokens   *seal.Box
}

func (s *cookieStore) inCookies() bool { return true }

func (s *cookieStore) lock(context.Context, string) (func(), error) { return func() {}, nil }

func (s *cookieStore) reload(_ context.Context, rec *record) (*record, error) { return rec, nil }

// drop removes nothing: the browser holds the session. The cookies are dropped by the caller's lines.
func (s *cookieStore) drop(context.Context, string) error { return nil }

func (s *cookieStore) load(_ context.Context, c cookies) (*record, error) {
	value, ok := c.get(s.names.identity)
	if !ok {
		return nil, ErrNoSession
	}
	plain, err := s.identity.Open(value, s.names.identity)
	if err != nil {
		return nil, ErrNoSession
	}
	rec := &record{}
	if err := rec.identity.decode(plain); err != nil {
		return nil, ErrNoSession
	}
	rec.handle = rec.identity.id
	rec.sealed, rec.chunks, ok = joinChunks(c, s.names.tokens)
	if !ok || rec.hasPart() != rec.identity.hasPart {
		return nil, ErrNoSession
	}
	return rec, nil
}

func (s *cookieStore) handle(c cookies) string {
	rec, err := s.load(context.Background(), c)
	if err != nil {
		return ""
	}
	return rec.handle
}

func (s *cookieStore) openTokens(rec *record) error {
	if rec.part != nil || rec.sealed == "" {
		return nil
	}
	plain, err := s.tokens.Open(rec.sealed, s.names.prefix, chunkCounts[rec.chunks], rec.identity.id)
	if err != nil {
		return ErrNoSession
	}
	rec.part, err = decodePart(plain, s.client)
	if err != nil {
		return ErrNoSession
	}
	return nil
}

// chunkCounts are the counts as texts, "0" first.
var chunkCounts = [maxChunks + 1]string{"0", "1", "2"}

func (s *cookieStore) save(_ context.Context, rec *record, what change, now time.Time) ([]string, error) {
	age := rec.identity.expires.Sub(now)
	rec.identity.hasPart = rec.hasPart()
	sealed, err := s.identity.Seal(rec.identity.encode(), s.names.identity)
	if err != nil {
		return nil, err
	}
	lines := []string{setCookie(s.names.identity, sealed, age, http.SameSiteLaxMode)}
	rec.handle = rec.identity.id
	size := len(lines[0])
	if what == changeIdentity {
		return lines, nil
	}
	chunks, err := s.cut(rec, maxSessionSize-size)
	if err != nil {
		return nil, err
	}
	for i, name := range s.names.tokens {
		if i < len(chunks) {
			lines = append(lines, setCookie(name, chunks[i], age, http.SameSiteLaxMode))
			continue
		}
		lines = append(lines, dropCookie(name, http.SameSiteLaxMode))
	}
	rec.chunks = len(chunks)
	return lines, nil
}

// cut seals the token part and cuts it into chunks that take no more than size; none without a part.
func (s *cookieStore) cut(rec *record, size int) ([]string, error) {
	if rec.part == nil {
		rec.sealed = ""
		return nil, nil
	}
	plain := rec.part.encodeWithin(func(text int) bool {
		n := chunkCount(text)
		return n <= maxChunks && text+n*(len(s.names.tokens[0])+2) <= size
	})
	if plain == nil {
		return nil, fmt.Errorf("%w: the tokens alone take %d bytes", errSessionTooLarge, seal.TextSize(len(rec.part.encodeWith(nil, nil))))
	}
	count := chunkCount(seal.TextSize(len(plain)))
	sealed, err := s.tokens.Seal(plain, s.names.prefix, chunkCounts[count], rec.identity.id)
	if err != nil {
		return nil, err
	}
	rec.sealed = sealed
	return splitChunks(sealed, count), nil
}

// chunkCount is how many chunks a text of that size needs.
func chunkCount(text int) int { return (text + chunkSize - 1) / chunkSize }

// splitChunks cuts text into count chunks, each behind its index and the count.
func splitChunks(text string, count int) []string {
	chunks := make([]string, count)
	for i := range chunks {
		end := min(len(text), chunkSize)
		chunks[i] = chunkCounts[i] + chunkCounts[count] + text[:end]
		text = text[end:]
	}
	return chunks
}

// joinChunks puts the token part together. Either all chunks of one set are there, each once, and no other; or none.
func joinChunks(c cookies, names [maxChunks]string) (text string, count int, ok bool) {
	var parts [maxChunks]string
	for i, name := range names {
		value, ok := c.get(name)
		if !ok {
			if c.has(name) {
				return "", 0, false // twice
			}
			break
		}
		if len(value) < 3 || value[0] != '0'+byte(i) || i > 0 && value[1] != parts[0][1] {
			return "", 0, false
		}
		parts[i] = value
		count++
	}
	for _, name := range names[count:] {
		if c.has(name) {
			return "", 0, false // behind a gap
		}
	}
	if count == 0 {
		return "", 0, true
	}
	if parts[0][1] != '0'+byte(count) {
		return "", 0, false
	}
	if count == 1 {
		return parts[0][2:], count, true
	}
	var b strings.Builder
	for i := range count {
		b.WriteString(parts[i][2:])
	}
	return b.String(), count, true
}

// dropSession returns the lines that remove every session cookie. Which ones the browser has is not always known.
func (n *cookieNames) dropSession() []string {
	lines := []string{dropCookie(n.identity, http.SameSiteLaxMode)}
	for _, name := range n.tokens {
		lines = append(lines, dropCookie(name, http.SameSiteLaxMode))
	}
	return lines
}
