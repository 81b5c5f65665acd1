package optest_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/rp/optest"
)

const ordersAPI, billingAPI = "https://orders.example", "https://billing.example"

// withResources knows two APIs and two kinds of login.
var withResources = optest.Config{
	ClientID: clientID, ClientSecret: secret, Resources: []string{ordersAPI, billingAPI}, ACRValues: []string{"silver", "gold"},
}

// own asks for a token of the client itself; more are names with their values.
func (w *world) own(grant string, more ...string) (int, map[string]any) {
	w.t.Helper()
	form := url.Values{"grant_type": {grant}, "client_id": {clientID}, "client_secret": {secret}}
	for i := 0; i+1 < len(more); i += 2 {
		form.Add(more[i], more[i+1])
	}
	return w.token(form)
}

// call asks the API and returns its status, challenge and answer.
func (w *world) call(token any, query string) (int, string, map[string]any) {
	w.t.Helper()
	raw, _ := token.(string)
	status, header, body := w.do(http.MethodGet, "/api"+query, "", "Authorization", "Bearer "+raw)
	var answer map[string]any
	if err := json.Unmarshal(body, &answer); err != nil {
		w.t.Fatalf("%d %q", status, body)
	}
	return status, header.Get("WWW-Authenticate"), answer
}

func TestClientCredentialsGrant(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withResources)
	_, answer := w.own("client_credentials", "resource", ordersAPI, "scope", "orders:read")
	if answer["refresh_token"] != nil || answer["id_token"] != nil || answer["scope"] != "orders:read" || answer["token_type"] != "Bearer" {
		t.Errorf("%v", answer)
	}
	_, claims := w.verify(answer["access_token"])
	if claims["sub"] != clientID || claims["aud"] != ordersAPI || claims["client_id"] != clientID {
		t.Errorf("%v", claims)
	}
	if status, _, _ := w.do(http.MethodGet, "/userinfo", "", "Authorization", "Bearer "+answer["access_token"].(string)); status != http.StatusForbidden {
		t.Errorf("userinfo answers %d to a client", status)
	}
	for _, row := range []struct {
		name string
		more []string
		want string
	}{
		{"an API that is unknown", []string{"resource", "https://c.example"}, "invalid_target"},
		{"a relative resource", []string{"resource", "/orders"}, "invalid_target"},
		{"an audience that is unknown", []string{"audience", "c"}, "invalid_target"},
		{"openid", []string{"scope", "openid"}, "invalid_scope"},
		{"offline_access", []string{"scope", "a offline_access"}, "invalid_scope"},
		{"a wrong secret", []string{"client_secret", "wrong"}, "invalid_request"}, // twice
	} {
		if status, answer := w.own("client_credentials", row.more...); answer["error"] != row.want || status < 400 {
			t.Errorf("%s: %d %v", row.name, status, answer)
		}
	}
	public := newWorld(t, optest.Config{ClientID: clientID})
	_, refused := public.token(url.Values{"grant_type": {"client_credentials"}, "client_id": {clientID}})
	if refused["error"] != "unauthorized_client" {
		t.Errorf("a public client: %v", refused)
	}
}

const (
	exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange"
	accessType    = "urn:ietf:params:oauth:token-type:access_token"
	idType        = "urn:ietf:params:oauth:token-type:id_token"
)

func TestTokenExchangeGrant(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withResources)
	_, login := w.exchange(w.login().Get("code"))
	subject, idToken := login["access_token"].(string), login["id_token"].(string)
	_, answer := w.own(exchangeGrant, "subject_token", subject, "subject_token_type", accessType, "resource", billingAPI, "scope", "email")
	if answer["issued_token_type"] != accessType || answer["scope"] != "email" || answer["refresh_token"] != nil {
		t.Errorf("%v", answer)
	}
	if _, claims := w.verify(answer["access_token"]); claims["sub"] != "alice" || claims["aud"] != billingAPI || claims["act"] != nil {
		t.Errorf("%v", claims)
	}
	_, own := w.own("client_credentials")
	_, delegated := w.own(exchangeGrant, "subject_token", idToken, "subject_token_type", idType, "resource", billingAPI,
		"actor_token", own["access_token"].(string), "actor_token_type", accessType)
	_, claims := w.verify(delegated["access_token"])
	if act, _ := claims["act"].(map[string]any); act["sub"] != clientID || claims["sub"] != "alice" {
		t.Errorf("%v", claims)
	}
	if status, _, api := w.call(delegated["access_token"], "?resource="+billingAPI); status != http.StatusOK || api["actor"] != clientID || api["sub"] != "alice" {
		t.Errorf("%d %v", status, api)
	}
	for _, row := range []struct {
		name string
		more []string
		want string
	}{
		{"no subject", nil, "invalid_request"},
		{"no subject type", []string{"subject_token", subject}, "invalid_request"},
		{"an unknown subject type", []string{"subject_token", subject, "subject_token_type", "urn:x"}, "invalid_request"},
		{"an unknown subject", []string{"subject_token", "x", "subject_token_type", accessType}, "invalid_request"},
		{"an ID Token as access token", []string{"subject_token", idToken, "subject_token_type", accessType}, "invalid_request"},
		{"an access token as ID Token", []string{"subject_token", subject, "subject_token_type", idType}, "invalid_request"},
		{"a forged ID Token", []string{"subject_token", optest.Tamper(idToken), "subject_token_type", idType}, "invalid_request"},
		{"an actor without type", []string{"subject_token", subject, "subject_token_type", accessType, "actor_token", subject}, "invalid_request"},
		{"an actor type without actor", []string{"subject_token", subject, "subject_token_type", accessType, "actor_token_type", accessType}, "invalid_request"},
		{"an unknown requested type", []string{"subject_token", subject, "subject_token_type", accessType, "requested_token_type", "urn:x"}, "invalid_request"},
		{"a wider scope", []string{"subject_token", subject, "subject_token_type", accessType, "scope", "admin"}, "invalid_scope"},
		{"an unknown API", []string{"subject_token", subject, "subject_token_type", accessType, "resource", "https://c.example"}, "invalid_target"},
	} {
		if status, answer := w.own(exchangeGrant, row.more...); answer["error"] != row.want || status < 400 {
			t.Errorf("%s: %d %v", row.name, status, answer)
		}
	}
}

func TestUnknownResourcesAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withResources)
	w.open(w.request("resource", "https://c.example"))
	if got := w.last(); got.Get("error") != "invalid_target" || got.Has("code") {
		t.Errorf("%v", got)
	}
	w.open(w.request("resource", ordersAPI))
	_, answer := w.exchange(w.last().Get("code"), "resource", billingAPI)
	if answer["error"] != "invalid_target" {
		t.Errorf("an API that nobody asked for at the start: %v", answer)
	}
}

func TestAPIDemands(t *testing.T) {
	t.Parallel()
	now := newClock()
	config := withResources
	config.Now = now.Now
	w := newWorld(t, config)
	_, answer := w.exchange(w.login("resource", ordersAPI, "acr_values", "bronze silver").Get("code"))
	token := answer["access_token"]
	now.advance(2 * time.Minute)
	for _, row := range []struct {
		query, challenge string
		status           int
	}{
		{"", "", 200},
		{"?resource=" + ordersAPI + "&scope=email+openid&acr_values=gold+silver&max_age=120", "", 200},
		{"?resource=" + billingAPI, `error="invalid_token"`, 401},
		{"?scope=admin", `error="insufficient_scope", error_description="the access token lacks a scope", scope="admin"`, 403},
		{"?acr_values=gold", `error="insufficient_user_authentication", error_description="another login is needed", acr_values="gold"`, 401},
		{"?acr_values=gold&max_age=119", `acr_values="gold", max_age="119"`, 401},
		{"?max_age=60", `max_age="60"`, 401},
		{"?scope=a%22%0d%0ab", `scope="a??? b"`, 403},
	} {
		status, challenge, _ := w.call(token, row.query)
		if row.query == "?scope=a%22%0d%0ab" {
			if status != 403 || strings.ContainsAny(challenge, "\r\n") || strings.Count(challenge, `"`)%2 != 0 {
				t.Errorf("%s: %d %q", row.query, status, challenge)
			}
			continue
		}
		if status != row.status || !strings.Contains(challenge, row.challenge) || (challenge == "") != (row.challenge == "") {
			t.Errorf("%s: %d %s", row.query, status, challenge)
		}
	}
}

// A step-up at the provider: what it can reach, and what it says if it cannot.
func TestStepUpAtTheProvider(t *testing.T) {
	t.Parallel()
	essential := func(values ...string) string {
		text, _ := json.Marshal(map[string]any{"id_token": map[string]any{"acr": map[string]any{"essential": true, "values": values}}})
		return string(text)
	}
	w := newWorld(t, withResources)
	for _, row := range []struct{ name, parameter, value, acr, failure string }{
		{"nothing asked", "", "", "", ""},
		{"the first that can be had", "acr_values", "platinum gold silver", "gold", ""},
		{"none of them, voluntary", "acr_values", "platinum", "", ""},
		{"essential", "claims", essential("gold"), "gold", ""},
		{"essential, and out of reach", "claims", essential("platinum"), "", "unmet_authentication_requirements"},
	} {
		w.b = optest.NewBrowser(nil)
		changes := []string{}
		if row.parameter != "" {
			changes = append(changes, row.parameter, row.value)
		}
		got := w.login(changes...)
		if got.Get("error") != row.failure {
			t.Errorf("%s: %v", row.name, got)
		}
		if row.failure != "" {
			continue
		}
		if _, claims := w.verify(got.Get("id_token")); claims["acr"] != any(row.acr) && (row.acr != "" || claims["acr"] != nil) {
			t.Errorf("%s: acr is %v", row.name, claims["acr"])
		}
	}
	_, _, body := w.do(http.MethodGet, "/.well-known/openid-configuration", "")
	var metadata struct {
		ACR    []string `json:"acr_values_supported"`
		Grants []string `json:"grant_types_supported"`
	}
	if err := json.Unmarshal(body, &metadata); err != nil || !slices.Equal(metadata.ACR, withResources.ACRValues) || !slices.Contains(metadata.Grants, exchangeGrant) {
		t.Errorf("%+v, %v", metadata, err)
	}
}
