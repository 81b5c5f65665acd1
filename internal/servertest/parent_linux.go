package servertest

import "syscall"

// endWithParent ends the server when the test process is killed.
func endWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
