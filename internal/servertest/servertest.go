// Package servertest starts the servers that tests of session stores need, on loopback ports and in directories of
// their own, and breaks them. The servers end with their [Server.Stop]; on Linux also when the test ends badly.
package servertest

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrMissing says that the program is not on this machine. Tests skip by name then, but not where CI is set.
var ErrMissing = errors.New("servertest: not installed")

const patience = 2 * time.Minute // a loaded machine, a cold disk

// Server is one server process.
type Server struct {
	// Addr is its host:port.
	Addr string

	free  func() // gives the port back
	dir   string // removed by Stop
	path  string
	args  []string
	user  *owner // nil: who runs the test
	ready func(ctx context.Context) bool
	crash os.Signal // what Kill sends
	cmd   *exec.Cmd
	log   *os.File
}

// AOF are arguments for a Redis that forgets nothing by [Server.Kill]: what it has written is the system's. Only a machine
// that loses its power needs more, and to wait for a disk would make tests depend on it.
var AOF = []string{"--appendonly", "yes", "--appendfsync", "no"}

// Redis starts redis-server with these arguments behind the usual ones. Nothing is kept on disk unless they ask for it.
func Redis(args ...string) (*Server, error) { return redis("redis-server", args) }

// Sentinel starts a Redis Sentinel for the master at addr, which it calls "master". One is its quorum.
func Sentinel(master string) (*Server, error) {
	host, port, err := net.SplitHostPort(master)
	if err != nil {
		return nil, err
	}
	s, err := prepare("redis-server")
	if err != nil {
		return nil, err
	}
	config := filepath.Join(s.dir, "sentinel.conf")
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nsentinel monitor master %s %s 1\n"+
		"sentinel down-after-milliseconds master 300\nsentinel failover-timeout master 2000\n", s.port(), s.dir, host, port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	s.args, s.ready = []string{config, "--sentinel"}, s.pong
	return s, s.Start()
}

func redis(program string, args []string) (*Server, error) {
	s, err := prepare(program)
	if err != nil {
		return nil, err
	}
	s.args = append([]string{"--port", s.port(), "--bind", "127.0.0.1", "--dir", s.dir, "--save", ""}, args...)
	s.ready = s.pong
	return s, s.Start()
}

// Postgres makes a database cluster and starts PostgreSQL on it, as the user postgres if the test is root's. The URL is
// [Server.PostgresURL].
func Postgres(args ...string) (*Server, error) {
	s, err := prepare("postgres")
	if err != nil {
		return nil, err
	}
	if s.path, err = filepath.EvalSymlinks(s.path); err != nil {
		return nil, err
	}
	bin := filepath.Dir(s.path)
	if s.user, err = unprivileged(); err != nil {
		return nil, err
	}
	if err := s.user.own(s.dir); err != nil {
		return nil, err
	}
	data := filepath.Join(s.dir, "data")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "twofold", "-A", "trust", "-N", "-E", "UTF8", "--locale=C") //nolint:gosec // a test's own server
	initdb.SysProcAttr, initdb.Dir = s.user.attributes(), s.dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("servertest: initdb: %w: %s", err, out)
	}
	s.crash = syscall.SIGQUIT // ends its children too, without saving anything
	s.args = append([]string{"-D", data, "-h", "127.0.0.1", "-p", s.port(), "-k", "", "-F"}, args...)
	s.ready = func(ctx context.Context) bool {
		return exec.CommandContext(ctx, filepath.Join(bin, "pg_isready"), "-q", "-U", "twofold", "-h", "127.0.0.1", "-p", s.port()).Run() == nil //nolint:gosec // as above
	}
	return s, s.Start()
}

// PostgresURL is the connection string of the database.
func (s *Server) PostgresURL() string {
	return "postgres://twofold@" + s.Addr + "/postgres?sslmode=disable"
}

// prepare finds the program, a port and a directory.
func prepare(program string) (*Server, error) {
	path, err := find(program)
	if err != nil {
		return nil, err
	}
	addr, free, err := Reserve()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "twofold-"+program+"-")
	return &Server{Addr: addr, free: free, dir: dir, path: path, crash: os.Kill}, err
}

// Reserve finds a TCP port below those that systems give to connections and to listeners on port 0: one of them could
// take it before the server starts, or while it is killed. Until release no other test gets it, of this process or of
// another: they all hold the UDP port of the same number meanwhile.
func Reserve() (addr string, release func(), err error) {
	for range 100 {
		var b [2]byte
		_, _ = rand.Read(b[:]) // never fails
		addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(12000+int(binary.BigEndian.Uint16(b[:]))%20000))
		var held net.PacketConn
		if held, err = (&net.ListenConfig{}).ListenPacket(context.Background(), "udp", addr); err != nil {
			continue
		}
		var listener net.Listener
		if listener, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr); err == nil {
			return addr, func() { _ = held.Close() }, listener.Close()
		}
		_ = held.Close()
	}
	return "", nil, err
}

// find prefers Debian's directories of PostgreSQL: all programs of one version are there.
func find(program string) (string, error) {
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + program); len(found) > 0 {
		return found[len(found)-1], nil
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("%w: %s", ErrMissing, program)
	}
	return path, nil
}

func (s *Server) port() string {
	_, port, _ := net.SplitHostPort(s.Addr)
	return port
}

// Start starts the server, again after Kill, and waits until it answers.
func (s *Server) Start() error {
	logFile, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	s.log = logFile
	s.cmd = exec.Command(s.path, s.args...) //nolint:gosec,noctx // a test's own server, which ends by Stop
	s.cmd.SysProcAttr, s.cmd.Dir = s.user.attributes(), s.dir
	s.cmd.Stdout, s.cmd.Stderr = logFile, logFile
	if err := s.cmd.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !s.ready(ctx) {
		select {
		case <-ctx.Done():
			s.Kill()
			text, _ := os.ReadFile(logFile.Name())
			return fmt.Errorf("servertest: %s does not answer: %s", filepath.Base(s.path), text)
		case <-tick.C:
		}
	}
	return nil
}

// Kill ends the server at once, as kill -9 of all its processes does. [Server.Start] starts it again on what is on its
// disk.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(s.crash)
	_ = s.cmd.Wait()
	_ = s.log.Close()
	s.cmd = nil
}

// Freeze has a Redis server hang, connections open, until Thaw. (PostgreSQL has a process for each connection.)
func (s *Server) Freeze() error { return s.cmd.Process.Signal(syscallStop) }

// Thaw ends Freeze.
func (s *Server) Thaw() error { return s.cmd.Process.Signal(syscallContinue) }

// Stop ends the server for good and removes its directory.
func (s *Server) Stop() {
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(patience, func() { _ = s.cmd.Process.Kill() })
		_ = s.cmd.Wait()
		timer.Stop()
		_ = s.log.Close()
		s.cmd = nil
	}
	_ = os.RemoveAll(s.dir)
	s.free()
}

// Command sends one inline command to a Redis server, without a client library, and returns the first line of the answer.
func (s *Server) Command(ctx context.Context, words ...string) (string, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	var text strings.Builder
	text.WriteString("*" + strconv.Itoa(len(words)) + "\r\n")
	for _, word := range words {
		text.WriteString("$" + strconv.Itoa(len(word)) + "\r\n" + word + "\r\n")
	}
	if _, err := conn.Write([]byte(text.String())); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line), err
}

func (s *Server) pong(ctx context.Context) bool {
	answer, err := s.Command(ctx, "PING")
	return err == nil && answer == "+PONG"
}
