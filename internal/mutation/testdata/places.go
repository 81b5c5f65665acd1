// Package testdata has nine places.
package testdata

import (
	"errors"
	"strings"
)

type rules struct{}

func (r rules) check(a string) error {
	if a == "" || strings.Contains(a, " ") {
		return errors.New("no")
	}
	if err := r.deeper(a); err != nil {
		return err // belongs to the place that made it
	}
	return r.deeper(a)
}

func (rules) deeper(string) error { return nil }

func isGood(a string, b bool) bool { return a != "" && b }

func choose(a string) (string, error) {
	switch {
	case a == "b":
		return "", errors.New("no")
	default:
		return a, nil
	}
}

type parseError struct{}

func parse(a string) (string, *parseError) {
	if a == "c" {
		return "", &parseError{}
	}
	return a, nil
}

type answer struct{ status int }

func refuseWith(a *answer, err error) *answer {
	a.status = 400
	return a
}

func serve(a *answer, method string) *answer {
	if err := (rules{}).deeper(method); err != nil {
		return refuseWith(a, err) // belongs to the place that made it
	}
	if method != "GET" {
		return refuseWith(a, errors.New("no"))
	}
	var refused *answer
	if method == "" {
		refused = refuseWith(a, errors.New("no"))
	}
	return refused
}
