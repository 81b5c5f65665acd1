package optest

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	logoutEvent         = "http://schemas.openid.net/event/backchannel-logout"
	logoutTokenLifetime = 2 * time.Minute // what Back-Channel Logout 1.0 section 2.4 recommends
	maxDeliveries       = 100             // that are remembered
)

// Delivery is a back-channel logout request, and what the client answered.
type Delivery struct {
	ClientID, URL string
	Form          url.Values // with the logout_token
	Status        int        // 0 if there was no answer; then Err says why
	Header        http.Header
	Body          []byte
	Err           error
}

func newLogoutClient() *http.Client {
	return &http.Client{
		Timeout:       5 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// SetLogoutURLs registers the client's logout URIs, as Config.BackchannelLogoutURL and Config.FrontchannelLogoutURL do for
// those that are known when the provider starts.
func (h *Handler) SetLogoutURLs(backchannel, frontchannel string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.backchannelURL, h.frontchannelURL = backchannel, frontchannel
}

func (h *Handler) logoutURLs() (backchannel, frontchannel string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.backchannelURL, h.frontchannelURL
}

// LogoutSession ends the login with this sid at the provider, as an administrator would, and tells the clients that it was
// used for, with a logout token that has sub and sid. It returns when they have answered; nil if there is no such login.
func (h *Handler) LogoutSession(ctx context.Context, sid string) []Delivery {
	var list []Delivery
	for _, s := range h.state.endSessions(func(s *session) bool { return s.sid == sid }) {
		list = append(list, h.notify(ctx, s.sid, map[string]any{"sub": s.sub, "sid": s.sid})...)
	}
	return list
}

// LogoutUser ends every login of a user at the provider, and tells the clients, each once, with a logout token that has a
// sub alone: all sessions of the user end. It returns when they have answered; nil if the user is not logged in.
func (h *Handler) LogoutUser(ctx context.Context, sub string) []Delivery {
	var sids []string
	for _, s := range h.state.endSessions(func(s *session) bool { return s.sub == sub }) {
		sids = append(sids, s.sid)
	}
	return h.notifyClients(ctx, h.state.visitors(sids...), map[string]any{"sub": sub})
}

// LogoutToken makes a logout token (Back-Channel Logout 1.0 section 2.4) and sends it to nobody. The given claims are
// added and replace the honest ones; nil takes one away. Give sub or sid, or the token has neither; and aud, if Config has
// no ClientID. The function of [Handler.Fault] is asked as for a token that is sent.
func (h *Handler) LogoutToken(claims map[string]any) string {
	a := h.logoutAnswer(h.config.ClientID, claims)
	h.lie(a)
	return a.Params.Get("logout_token")
}

// Deliveries returns the back-channel logout requests so far, oldest first; of very many, the last hundred.
func (h *Handler) Deliveries() []Delivery {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.deliveries)
}

// tellClients does what follows from the end of a session: back-channel requests are sent, front-channel ones returned.
func (h *Handler) tellClients(s *session) (frames []string) {
	if s == nil {
		return nil
	}
	h.notify(backgroundContext(), s.sid, map[string]any{"sub": s.sub, "sid": s.sid})
	_, frontchannel := h.logoutURLs()
	if frontchannel == "" || len(h.state.visitors(s.sid)) == 0 {
		return nil
	}
	return []string{appendQuery(frontchannel, url.Values{"iss": {h.issuer}, "sid": {s.sid}})}
}

func (h *Handler) notify(ctx context.Context, sid string, claims map[string]any) []Delivery {
	return h.notifyClients(ctx, h.state.visitors(sid), claims)
}

func (h *Handler) notifyClients(ctx context.Context, clients []string, claims map[string]any) []Delivery {
	backchannel, _ := h.logoutURLs()
	if backchannel == "" {
		return nil
	}
	var list []Delivery
	for _, clientID := range clients {
		a := h.logoutAnswer(clientID, claims)
		a.RedirectURI = backchannel
		h.lie(a)
		list = append(list, h.deliver(ctx, clientID, a))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deliveries = append(h.deliveries, list...)
	h.deliveries = slices.Clone(h.deliveries[max(0, len(h.deliveries)-maxDeliveries):])
	return list
}

// logoutAnswer is an honest logout request, before the hook.
func (h *Handler) logoutAnswer(clientID string, more map[string]any) *Answer {
	a := &Answer{Endpoint: pathBackchannel, Status: http.StatusOK, HTTPHeader: http.Header{}, handler: h}
	now := h.now()
	claims := map[string]any{
		"iss": h.issuer, "aud": clientID, "iat": now.Unix(), "exp": now.Add(logoutTokenLifetime).Unix(), "jti": random(12),
		"events": map[string]any{logoutEvent: map[string]any{}},
	}
	maps.Copy(claims, more)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	h.putID(a, h.joseHeader(h.config.Algorithm, "logout+jwt"), claims)
	a.Params = url.Values{"logout_token": {a.honestID}}
	return a
}

// deliver posts to the client (Back-Channel Logout 1.0 section 2.5).
func (h *Handler) deliver(ctx context.Context, clientID string, a *Answer) Delivery {
	d := Delivery{ClientID: clientID, URL: a.RedirectURI, Form: a.Params}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.RedirectURI, strings.NewReader(a.Params.Encode()))
	if err != nil {
		d.Err = err
		return d
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if !h.wait(r, a.Delay) {
		d.Err = errors.New("optest: the hook did not let it go")
		return d
	}
	response, err := h.config.LogoutClient.Do(r)
	if err != nil {
		d.Err = err
		return d
	}
	defer func() { _ = response.Body.Close() }()
	d.Status, d.Header = response.StatusCode, response.Header
	d.Body, d.Err = io.ReadAll(io.LimitReader(response.Body, maxBody))
	return d
}

// visit remembers that a client has seen a login.
func (s *state) visit(sid, clientID string) {
	s.update(func() {
		if !slices.Contains(s.clients[sid], clientID) {
			s.clients[sid] = append(s.clients[sid], clientID)
		}
	})
}

// visitors are the clients that have seen any of the logins.
func (s *state) visitors(sids ...string) (list []string) {
	s.update(func() {
		for _, sid := range sids {
			list = append(list, s.clients[sid]...)
		}
	})
	slices.Sort(list)
	return slices.Compact(list)
}

// endSessions ends the logins that fit.
func (s *state) endSessions(fits func(*session) bool) (ended []*session) {
	s.update(func() {
		for cookie, v := range s.sessions {
			if fits(v) {
				ended = append(ended, v)
				delete(s.sessions, cookie)
			}
		}
	})
	return ended
}
