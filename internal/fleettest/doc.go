// Package fleettest has only tests: three instances of an app behind a round-robin, one provider, and a session store on
// a real server that is killed, emptied, slowed and frozen while requests go on. Each test reports what was sent, what
// was answered well, what was refused and how, and which sessions were lost:
//
//	go test ./internal/fleettest -v
package fleettest
