// Package attacks ties the catalogue of attacks and faults (catalogue.txt: id, what is done, what must happen) to the
// tests that carry its ids in their names. Its test writes and checks docs/attacks.md:
//
//	go generate ./internal/attacks
//
// A line without a test has its reason in answers.txt: it does not apply, or it belongs to a feature that is not there.
package attacks

//go:generate go test . -run TestTable -update
