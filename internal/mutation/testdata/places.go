// Package testdata has six places.
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
