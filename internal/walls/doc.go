// Package walls holds the tests of the project's walls: which package may import which, and what each one exports.
// It has no code of its own.
package walls
