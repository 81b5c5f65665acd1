//go:build unix

package servertest

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

const (
	syscallStop     = syscall.SIGSTOP
	syscallContinue = syscall.SIGCONT
)

// owner is another user that a server runs as.
type owner struct{ uid, gid int }

// unprivileged returns the user for a server that refuses root; nil if the test is not root's.
func unprivileged() (*owner, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nil is who runs the test
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(u.Uid)
		gid, gidErr := strconv.Atoi(u.Gid)
		if uidErr == nil && gidErr == nil {
			return &owner{uid, gid}, nil
		}
	}
	return nil, fmt.Errorf("%w: neither a user postgres nor a user nobody", ErrMissing)
}

func (o *owner) own(dir string) error {
	if o == nil {
		return nil
	}
	return os.Chown(dir, o.uid, o.gid)
}

func (o *owner) attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{}
	endWithParent(a)
	if o != nil {
		a.Credential = &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(o.gid)} //nolint:gosec // IDs are small
	}
	return a
}
