package optest

import (
	"slices"
	"sync"
	"time"
)

// state is the provider's memory.
type state struct {
	mu       sync.Mutex // guards all of it, and the fields of grants
	sessions map[string]*session
	logins   map[string]*login       // waiting at the login page
	codes    map[string]*code        // spent ones too: their second use revokes the grant
	refresh  map[string]*refresh     // replaced ones too: their reuse revokes the grant
	access   map[string]*accessToken // by the token
	jtis     map[string]time.Time    // of client assertions, until they expire
	clients  map[string][]string     // by sid: who has to hear of a logout
}

// session is a browser's login at the provider.
type session struct {
	sub, sid, acr string
	authTime      time.Time
}

// login waits for the user.
type login struct {
	request *authRequest
	consent *session // not nil: the user is known and is asked for consent only
	expires time.Time
}

// grant is what one login allowed one client: the family of a code, its tokens and their successors.
type grant struct {
	clientID  string
	scopes    []string
	resources []string
	nonce     string
	claims    claimsRequest
	session   session
	revoked   bool
}

type code struct {
	grant                  *grant
	redirectURI, challenge string
	expires                time.Time
	spent                  bool
}

type refresh struct {
	grant    *grant
	replaced bool
}

type accessToken struct {
	grant     *grant
	scopes    []string
	resources []string
	issuedBy  string // the endpoint
	actor     string // who acts for the user, by an exchange
	expires   time.Time
	revoked   bool
}

// update runs f with the memory locked.
func (s *state) update(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions == nil {
		s.sessions, s.logins = map[string]*session{}, map[string]*login{}
		s.codes, s.refresh = map[string]*code{}, map[string]*refresh{}
		s.access, s.jtis = map[string]*accessToken{}, map[string]time.Time{}
		s.clients = map[string][]string{}
	}
	f()
}

func (s *state) session(cookie string) (found *session) {
	s.update(func() { found = s.sessions[cookie] })
	return found
}

func (s *state) addSession(v *session) (cookie string) {
	cookie = random(24)
	s.update(func() { s.sessions[cookie] = v })
	return cookie
}

func (s *state) endSession(cookie string) {
	s.update(func() { delete(s.sessions, cookie) })
}

// wait keeps a login for the page, and drops those that nobody came back for.
func (s *state) wait(l *login, now time.Time) (id string) {
	id = random(24)
	s.update(func() {
		for key, old := range s.logins {
			if now.After(old.expires) {
				delete(s.logins, key)
			}
		}
		s.logins[id] = l
	})
	return id
}

// waiting looks at a login; take removes it too.
func (s *state) waiting(id string, now time.Time) (found *login) {
	s.update(func() { found = s.logins[id] })
	if found == nil || now.After(found.expires) {
		return nil
	}
	return found
}

func (s *state) take(id string, now time.Time) (found *login) {
	s.update(func() {
		found = s.logins[id]
		delete(s.logins, id)
	})
	if found == nil || now.After(found.expires) {
		return nil
	}
	return found
}

func (s *state) addCode(c *code) (value string) {
	value = random(32)
	s.update(func() { s.codes[value] = c })
	return value
}

// spend returns a code that is good now and only now. A second use revokes what the first one gave (RFC 6749 4.1.2). A
// request that is wrong otherwise has spent the code too.
func (s *state) spend(value string, now time.Time) (found *code) {
	s.update(func() {
		c := s.codes[value]
		switch {
		case c == nil:
		case c.spent:
			c.grant.revoked = true
		default:
			c.spent = true
			if !now.After(c.expires) && !c.grant.revoked {
				found = c
			}
		}
	})
	return found
}

func (s *state) addRefresh(g *grant) (value string) {
	value = random(32)
	s.update(func() { s.refresh[value] = &refresh{grant: g} })
	return value
}

// peekRefresh looks at a refresh token. One that was replaced already revokes the whole grant: somebody has a copy
// (RFC 9700 section 4.14.2).
func (s *state) peekRefresh(value, clientID string) (found *grant) {
	s.update(func() {
		r := s.refresh[value]
		switch {
		case r == nil || r.grant.clientID != clientID:
		case r.replaced:
			r.grant.revoked = true
		case !r.grant.revoked:
			found = r.grant
		}
	})
	return found
}

// rotateRefresh replaces a refresh token; "" if another request was faster.
func (s *state) rotateRefresh(old string) (value string) {
	value = random(32)
	s.update(func() {
		r := s.refresh[old]
		if r.replaced || r.grant.revoked {
			r.grant.revoked = true
			value = ""
			return
		}
		r.replaced = true
		s.refresh[value] = &refresh{grant: r.grant}
	})
	return value
}

func (s *state) addAccess(value string, t *accessToken) {
	s.update(func() { s.access[value] = t })
}

// alias lets a token that a fault made stand for the honest one.
func (s *state) alias(honest, made string) {
	s.update(func() {
		if t := s.access[honest]; t != nil {
			s.access[made] = t
		}
	})
}

func (s *state) accessToken(value string, now time.Time) (found *accessToken) {
	s.update(func() {
		if t := s.access[value]; t != nil && !t.revoked && !t.grant.revoked && now.Before(t.expires) {
			found = t
		}
	})
	return found
}

// firstUse tells if a client assertion's jti is new (RFC 7523 section 3).
func (s *state) firstUse(jti string, now, expires time.Time) (first bool) {
	s.update(func() {
		for key, end := range s.jtis {
			if now.After(end) {
				delete(s.jtis, key)
			}
		}
		_, seen := s.jtis[jti]
		first = !seen
		s.jtis[jti] = expires
	})
	return first
}

// narrower tells if each wanted value is among the granted ones; no wanted value asks for all.
func narrower(wanted, granted []string) ([]string, bool) {
	if len(wanted) == 0 {
		return granted, true
	}
	for _, v := range wanted {
		if !slices.Contains(granted, v) {
			return nil, false
		}
	}
	return wanted, true
}
