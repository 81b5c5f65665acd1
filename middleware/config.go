package middleware

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/sessions"

	"github.com/twofold-auth/twofold/internal/seal"
	"github.com/twofold-auth/twofold/rp"
)

// Config says how logins and sessions behave. [New] copies, checks and freezes it: a field that is changed later
// changes nothing. The zero value of a field is its secure default.
type Config struct {
	// Client speaks to the provider. Required. Its RedirectURL says where the routes are.
	Client *rp.Client
	// Keys protect cookies and stored sessions: 32 random bytes each. The first seals, all open, and each purpose has
	// its own subkey. To rotate, put a new key in front and remove the old one after Absolute. Required.
	Keys [][]byte
	// Store keeps the sessions; nil keeps them in sealed cookies. One that is a [SessionStore] too, as those of redisstore
	// and sqlstore are, serves any number of instances, and New does not ask it: it may be down at that moment. Any other
	// gorilla store works for one instance of the app; New proves that it holds 8 KB and tells a missing session from a
	// broken store.
	Store sessions.Store
	// Logouts are shared by all instances: what the provider, [Auth.EndSessions] and the logout route of one of them end
	// is over for all, sealed cookies included; each request then looks there once. nil: the Store if it is
	// [Tombstones], else the memory of this process, which New logs.
	Logouts Tombstones
	// Name is the middle of the cookie names, __Host-<Name>-…; "" derives one from issuer, client ID and redirect URL,
	// so that several apps on one host do not collide. Letters, digits, '.' and '_', at most 32.
	Name string
	// PublicPrefix is the path prefix, such as /app, that a proxy or http.StripPrefix removed before requests come
	// here. RedirectURL has it. "" is none.
	PublicPrefix string
	// AuthOptions go with each login that the routes and wrappers start: prompt, max_age, audience in Extra.
	AuthOptions rp.AuthOptions
	// Exchange says whether the code is redeemed; [Login.Exchange] may decide otherwise for one login.
	Exchange ExchangeMode
	// CodeLifetime is how old a code may be that [ExchangeOnDemand] still sends; 0 is 50 seconds, below the minute that
	// many providers give. Between a second and 10 minutes.
	CodeLifetime time.Duration
	// OmitIDToken keeps no ID Token in a session without tokens ([ExchangeNever]). Its cookies are smaller, and the
	// provider gets no id_token_hint at logout: it may have to ask the user.
	OmitIDToken bool
	// LoginTimeout is how long a user may take at the provider; 0 is 15 minutes, at most an hour.
	LoginTimeout time.Duration
	// Idle and Absolute end a session: that long after the last request, and after the login. 0: 1 and 12 hours.
	// A session is renewed when a tenth of Idle has passed, so Idle is exact to that.
	Idle, Absolute time.Duration
	// SessionClaims are the ID Token's claims that [Session.Claims] holds; nil is name, email, email_verified. At most
	// 1 KB; all claims are in [Session.IDToken].
	SessionClaims []string
	// MeClaims switches the route GET /auth/me on, for pages that run in the browser: it tells them these claims, which
	// are names of SessionClaims or "sub". nil: there is no such route.
	MeClaims []string
	// OnIdentity is called after every check of the first ID Token, before the code is spent: provision the user and
	// keep the app's own ID in Login.Values, refuse ([*Refusal]), ask for more ([*Challenge]), choose whether the code
	// is spent now, on demand or not at all. With the response types code and code token there is no first ID Token: it is called after the
	// exchange. Any other error is a fault of the app: the browser gets status 500. It must be safe for concurrent use.
	OnIdentity func(*Login) error
	// OnTokens is called after the second ID Token matched the first, before the session starts. Errors are as for
	// OnIdentity. With [ExchangeOnDemand] it is called when the code is spent: an error then ends the session and revokes
	// the tokens. The tokens stay the session's: whoever keeps their refresh token elsewhere, and uses it, takes it from the
	// session; for workers there is [Session.Grant]. For an audit log with the subject use these hooks: events and log
	// name nobody.
	OnTokens func(*Login, *rp.Tokens) error
	// ErrorHandler answers instead of our error page. Headers that forbid caching are set; the status is not yet
	// written. nil: our page, or problem+json for what is not a browser.
	ErrorHandler func(http.ResponseWriter, *http.Request, *Error)
	// RepostOnMissingCookie is a rescue for browsers and proxies that lose the cookie of a cross-site POST: such a
	// callback is answered, once, by a page of our own that posts the same form again, now from the same site. The
	// state must still match a cookie of this browser. Off by default.
	RepostOnMissingCookie bool
	// Observe is called for each event, in the goroutine that it happens in; it must not block. nil: nobody watches.
	Observe func(context.Context, rp.Event)
	// Logger gets one record for each event; nil is slog.Default().
	Logger *slog.Logger
	// Now is the clock of sessions; nil is time.Now. The Client has one of its own, [rp.Config].Now: a test sets both.
	Now func() time.Time
}

// ExchangeMode says when the code is redeemed at the token endpoint.
type ExchangeMode uint8

const (
	// ExchangeNow redeems it in the callback: the session starts with tokens.
	ExchangeNow ExchangeMode = iota
	// ExchangeOnDemand keeps the verified answer, sealed, in the session, which starts with the first ID Token: the user
	// is in though the token endpoint is slow or down. The code is redeemed when tokens are first needed or a [Check] would
	// refuse, and with a [SessionStore] in any case after half of CodeLifetime. [Session.Tokens] tells how far that is. It is
	// redeemed at most once if the store is a [Locker], else once in each process. Needs a code and id_token in the response
	// type.
	ExchangeOnDemand
	// ExchangeNever signs on only: the session starts with the verified first ID Token, and the token endpoint is
	// never asked. Needs id_token in the response type; it is the only way with [rp.ImplicitIDToken].
	ExchangeNever
)

// Auth logs users in and keeps their sessions. It is safe for concurrent use. Two of them, for two providers or two
// apps, may stand in one mux.
type Auth struct {
	config     Config
	client     *rp.Client
	site       site
	routes     []route
	names      cookieNames
	boxes      boxes
	store      store
	server     *serverStore // the same, if it is one
	attempts   *attempts
	live       *liveSessions
	mark       func(text string) []string // marks of a logout, one for each key
	logouts    Tombstones
	graves     *graves // logouts, if they are in this process; else nil
	skew       skew
	frames     allowance
	background tasks
	copies     sync.Once // warnOfCopies
	// buriedInStore says that the store looks for tombstones whenever it is asked for a session.
	buriedInStore bool
}

// boxes seal, one key for each purpose.
type boxes struct {
	transaction, done, logout, identity, tokens, handle, stored, storedTokens, answer, grant, suspended *seal.Box

	challenge *seal.Box

	signCSRF  func(sessionID string) string
	checkCSRF func(sessionID, mac string) bool
}

const (
	defaultIdle         = time.Hour
	defaultAbsolute     = 12 * time.Hour
	defaultLoginTimeout = 15 * time.Minute
	maxLoginTimeout     = time.Hour
	defaultCodeLifetime = 50 * time.Second
	maxCodeLifetime     = 10 * time.Minute
	maxAbsolute         = 400 * 24 * time.Hour // browsers keep no cookie longer
	maxNameSize         = 32
)

// New checks c and returns its Auth. It makes no request to the provider; with a Store it saves, loads and deletes
// one session. Close the Auth at the end.
func New(c Config) (*Auth, error) {
	a, err := newAuth(c)
	if err != nil {
		return nil, fmt.Errorf("middleware: %w", err)
	}
	return a, nil
}

func newAuth(c Config) (*Auth, error) {
	if c.Client == nil {
		return nil, errors.New("Config.Client is nil")
	}
	if err := c.setDefaults(); err != nil {
		return nil, err
	}
	if err := c.AuthOptions.Validate(); err != nil {
		return nil, fmt.Errorf("Config.AuthOptions: %w", err)
	}
	s, err := newSite(c.Client.RedirectURL(), c.PublicPrefix)
	if err != nil {
		return nil, err
	}
	if s, err = s.withMe(&c); err != nil {
		return nil, err
	}
	a := &Auth{config: c, client: c.Client, site: s, attempts: newAttempts(), live: newLiveSessions()}
	owner := sha256.Sum256([]byte(c.Client.Issuer() + "\x00" + c.Client.ClientID() + "\x00" + c.Client.RedirectURL()))
	if c.Name == "" {
		c.Name = hex.EncodeToString(owner[:5])
	}
	a.names = newCookieNames(c.Name)
	if err := a.setBoxes(c.Keys, string(owner[:])); err != nil {
		return nil, fmt.Errorf("Config.Keys: %w: use 32 bytes from `openssl rand -hex 32`, decoded", err)
	}
	if err := a.setStore(string(owner[:])); err != nil {
		return nil, fmt.Errorf("Config.Store: %w", err)
	}
	a.setLogouts()
	a.routes = a.listRoutes()
	if c.Exchange == ExchangeOnDemand {
		a.warnOfCopies()
	}
	return a, nil
}

// setStore chooses where sessions are.
func (a *Auth) setStore(owner string) (err error) {
	switch store := a.config.Store.(type) {
	case nil:
		a.store = &cookieStore{names: a.names, client: a.client, identity: a.boxes.identity, tokens: a.boxes.tokens}
	case SessionStore:
		a.server = newServerStore(store, owner, a)
		a.store = a.server
	default:
		a.store, err = newGorillaStore(store, a)
	}
	return err
}

// setLogouts chooses where logouts are remembered.
func (a *Auth) setLogouts() {
	a.logouts = a.config.Logouts
	if a.logouts == nil {
		a.logouts, a.buriedInStore = a.config.Store.(Tombstones)
		a.buriedInStore = a.buriedInStore && a.server != nil
	}
	if a.logouts == nil {
		a.graves = newGraves(a.config.Now)
		a.logouts = a.graves
		a.config.Logger.Info("twofold: logouts that the provider sends are remembered by this process alone; " +
			"set Config.Logouts, or a Store for many instances, if there is more than one")
	}
}

// warnOfCopies says, once, that instances cannot agree on who redeems a code.
func (a *Auth) warnOfCopies() {
	if a.locks() {
		return
	}
	a.copies.Do(func() {
		a.config.Logger.Info("twofold: codes are redeemed on demand once in each process; " +
			"for once in all instances set Config.Store to one that is a Locker")
	})
}

// setDefaults checks what needs no other value, copies what the caller could change, and fills what is zero.
func (c *Config) setDefaults() error {
	c.Keys = slices.Clone(c.Keys)
	c.SessionClaims = slices.Clone(c.SessionClaims)
	c.MeClaims = slices.Clone(c.MeClaims)
	if c.SessionClaims == nil {
		c.SessionClaims = []string{"name", "email", "email_verified"}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the default
	}
	limit(&c.Idle, defaultIdle)
	limit(&c.Absolute, defaultAbsolute)
	limit(&c.LoginTimeout, defaultLoginTimeout)
	limit(&c.CodeLifetime, defaultCodeLifetime)
	return c.check()
}

func limit(d *time.Duration, byDefault time.Duration) {
	if *d == 0 {
		*d = byDefault
	}
}

func (c *Config) check() error {
	switch {
	case len(c.Name) > maxNameSize || strings.Trim(c.Name, nameAlphabet) != "":
		return fmt.Errorf("Config.Name %q: letters, digits, '.' and '_', at most %d", c.Name, maxNameSize)
	case c.Idle < time.Minute || c.Absolute < c.Idle || c.Absolute > maxAbsolute:
		return fmt.Errorf("Config.Idle %v and Absolute %v: at least a minute, Idle not over Absolute, at most %v",
			c.Idle, c.Absolute, maxAbsolute)
	case c.LoginTimeout < time.Minute || c.LoginTimeout > maxLoginTimeout:
		return fmt.Errorf("Config.LoginTimeout %v: between a minute and %v", c.LoginTimeout, maxLoginTimeout)
	case c.CodeLifetime < time.Second || c.CodeLifetime > maxCodeLifetime:
		return fmt.Errorf("Config.CodeLifetime %v: between a second and %v", c.CodeLifetime, maxCodeLifetime)
	case c.Exchange > ExchangeNever:
		return fmt.Errorf("Config.Exchange %d is unknown", c.Exchange)
	case c.Exchange != ExchangeNow && !hasIDToken(c.Client):
		return fmt.Errorf("Config.Exchange: ExchangeOnDemand and ExchangeNever need id_token in the response type, which is %q",
			c.Client.ResponseType())
	case c.Exchange == ExchangeOnDemand && c.Client.ResponseType() == rp.ImplicitIDToken:
		return fmt.Errorf("Config.Exchange: ExchangeOnDemand needs a code, and the response type is %q", rp.ImplicitIDToken)
	}
	if c.Client.ResponseType() == rp.ImplicitIDToken {
		c.Exchange = ExchangeNever // there is no code
	}
	return nil
}

const nameAlphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._"

// hasIDToken reports whether the authorization response brings an ID Token.
func hasIDToken(c *rp.Client) bool {
	return slices.Contains(strings.Fields(string(c.ResponseType())), "id_token")
}

func (a *Auth) setBoxes(keys [][]byte, owner string) error {
	ring, err := seal.NewRing(keys, owner)
	if err != nil {
		return err
	}
	b := &a.boxes
	if b.challenge, err = ring.Box("challenge"); err != nil {
		return err
	}
	for purpose, box := range map[string]**seal.Box{
		"transaction": &b.transaction, "done": &b.done, "logout": &b.logout, "identity": &b.identity, "tokens": &b.tokens,
		"session handle": &b.handle, "stored session": &b.stored, "stored tokens": &b.storedTokens, "stored answer": &b.answer,
		"stored grant": &b.grant, "suspended login": &b.suspended,
	} {
		if *box, err = ring.Box(purpose); err != nil {
			return err
		}
	}
	b.signCSRF, b.checkCSRF = ring.MAC("csrf")
	a.mark = ring.Marks("logout")
	return nil
}

// site is where the app is for a browser. All of it comes from the configuration, nothing from a request.
type site struct {
	origin string // scheme://host[:port] of RedirectURL, as a browser writes it in Origin
	prefix string // PublicPrefix
	dir    string // the routes' directory without the prefix, "" for the root
	base   *url.URL
	last   string // last segment of RedirectURL's path
	me     bool   // there is a route for Config.MeClaims
}

func newSite(redirectURL, prefix string) (site, error) {
	u, err := url.Parse(redirectURL)
	if err != nil {
		return site{}, fmt.Errorf("RedirectURL: %w", err)
	}
	if u.Scheme != "https" && !isLoopback(u.Hostname()) {
		return site{}, fmt.Errorf("RedirectURL %s: over plain http browsers keep the cookies of a login only on localhost and 127.0.0.1", u)
	}
	if prefix != "" && (!strings.HasPrefix(prefix, "/") || path.Clean(prefix) != prefix) {
		return site{}, fmt.Errorf("PublicPrefix %q must start with a slash and end without one", prefix)
	}
	local, ok := strings.CutPrefix(u.Path, prefix)
	dir, last := path.Split(local)
	if !ok || path.Clean(local) != local || last == "" || strings.ContainsAny(local, "{}") || u.RawPath != "" {
		return site{}, fmt.Errorf("RedirectURL %s: needs a plain path below %q, such as %s/auth/callback", u, prefix+"/", prefix)
	}
	if slices.Contains(routeNames, last) {
		return site{}, fmt.Errorf("RedirectURL %s: its last segment is the name of another route", u)
	}
	return site{origin: originOf(u), prefix: prefix, dir: strings.TrimSuffix(dir, "/"), base: u, last: last}, nil
}

// public returns the path that a browser has for one of our routes.
func (s site) public(name string) string { return s.prefix + s.dir + "/" + name }

// home is where a login leads that names no page.
func (s site) home() string { return s.prefix + "/" }

// originOf is the origin as browsers serialise it: lower case, default ports left out.
func originOf(u *url.URL) string {
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return strings.ToLower(u.Scheme) + "://" + host
}

func isLoopback(host string) bool {
	host = strings.ToLower(host)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Close waits for what is under way at the provider. Handlers and workers should have returned before: for what they begin
// later nobody waits.
func (a *Auth) Close() error {
	a.background.Wait()
	return nil
}
