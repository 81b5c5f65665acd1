// Package verify decides whether an ID Token may be believed. It is pure: bytes and values in, a verdict out; only a
// [KeySet] may use the network.
package verify
