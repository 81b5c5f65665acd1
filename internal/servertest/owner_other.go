//go:build !unix

package servertest

import "syscall"

// There is nothing to stop a process with here: Freeze returns an error.
const (
	syscallStop     = syscall.SIGTRAP
	syscallContinue = syscall.SIGTRAP
)

type owner struct{}

func unprivileged() (*owner, error) { return nil, nil } //nolint:nilnil // nil is who runs the test

func (o *owner) own(string) error { return nil }

func (o *owner) attributes() *syscall.SysProcAttr { return nil }
