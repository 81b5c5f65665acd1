package rp

import (
	"time"

	"github.com/twofold-auth/twofold/internal/strictjson"
)

// demands are the parts of the claims parameter without which a login has failed, whatever the provider says: an essential
// acr with values (Core 5.5.1.1), a sub with a value (Core 3.1.2.1), an essential auth_time (Core 2). Other claims are
// wishes.
type demands struct {
	acr      []string
	sub      string
	authTime bool
}

// anyAge is how old a login may be whose auth_time must be there and may say anything.
const anyAge = 100 * 365 * 24 * time.Hour

func (o *AuthOptions) demands() (demands, error) {
	if len(o.Claims) == 0 {
		return demands{}, nil
	}
	all, err := strictjson.Parse(string(o.Claims))
	if err != nil {
		return demands{}, optionError("Claims: not a JSON object")
	}
	idToken, _ := all.Get("id_token").Object()
	var d demands
	if acr, essential := requested(idToken, "acr"); essential {
		if d.acr, err = anyOf(acr); err != nil {
			return demands{}, err
		}
	}
	_, d.authTime = requested(idToken, "auth_time")
	sub, _ := requested(idToken, "sub")
	if value := sub.Get("value"); value.Exists() {
		if d.sub, _ = value.Text(); d.sub == "" {
			return demands{}, optionError("Claims: the value of sub is not a text")
		}
	}
	return d, nil
}

// requested returns what a claims parameter says of a claim.
func requested(idToken strictjson.Object, claim string) (about strictjson.Object, essential bool) {
	about, _ = idToken.Get(claim).Object()
	essential, _ = about.Get("essential").Bool()
	return about, essential
}

// anyOf returns the values of which a claim must have one; nil if any will do.
func anyOf(about strictjson.Object) ([]string, error) {
	value, values := about.Get("value"), about.Get("values")
	if !value.Exists() && !values.Exists() {
		return nil, nil
	}
	list, ok := values.Texts()
	if value.Exists() {
		text, isText := value.Text()
		list, ok = []string{text}, isText && !values.Exists()
	}
	if !ok || len(list) == 0 {
		return nil, optionError("Claims: the essential acr names no values: a text, or a list of texts")
	}
	return list, nil
}
