package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"time"

	"github.com/twofold-auth/twofold/examples/internal/demo"
)

// instanceFlag makes this program an instance of the app instead of the whole fleet.
const instanceFlag = "-instance"

// hello is what an instance says first.
type hello struct{ Addr, Error string }

// runInstance is an instance of the app: a process of its own. Its settings are the first line of in; each further line
// asks for its figures; when in ends it answers what it has begun and ends too.
func runInstance(in io.Reader, out io.Writer) error {
	signal.Ignore(os.Interrupt) // Ctrl-C is for the fleet
	lines, answers := bufio.NewScanner(in), json.NewEncoder(out)
	var s settings
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &s) != nil {
		return errors.New("the first line of the input is not an instance's settings")
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	a, listener, err := s.start(ctx)
	if err != nil {
		return answers.Encode(hello{Error: err.Error()})
	}
	defer a.close()
	server := &http.Server{Handler: a.routes(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	if err := answers.Encode(hello{Addr: listener.Addr().String()}); err != nil {
		return err
	}
	for lines.Scan() {
		if err := answers.Encode(measure()); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = server.Shutdown(ctx)
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

func (s settings) start(ctx context.Context) (*app, net.Listener, error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil)).With("instance", s.Name)
	if s.Quiet {
		log = slog.New(slog.DiscardHandler)
	}
	listener, err := demo.Listen(ctx, "an instance on", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	a, err := newApp(ctx, s, log)
	if err != nil {
		_ = listener.Close()
		return nil, nil, err
	}
	return a, listener, nil
}

// instance is a process as the fleet sees it.
type instance struct {
	settings
	addr    string // after its start
	process *os.Process
	in      io.WriteCloser
	answers *bufio.Scanner
	ended   chan struct{} // closed when the process is gone; then why says how
	why     error
}

// start starts the process and waits until it serves.
func (i *instance) start() error {
	settings, err := json.Marshal(i.settings) //nolint:gosec // a pipe to a process of our own is the way that secrets go
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(program, instanceFlag) //nolint:gosec,noctx // this program itself; stop ends it
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if i.in, err = cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	i.process, i.answers, i.ended = cmd.Process, bufio.NewScanner(out), make(chan struct{})
	_, err = i.in.Write(append(settings, '\n'))
	var h hello
	if err == nil {
		err = i.answer(&h)
	}
	ended := i.ended
	go func() {
		i.why = cmd.Wait()
		close(ended)
	}()
	if h.Error != "" {
		err = errors.New(h.Error)
	}
	if err != nil {
		i.kill()
		return fmt.Errorf("instance %s: %w", i.Name, err)
	}
	i.addr = h.Addr
	return nil
}

func (i *instance) answer(v any) error {
	if !i.answers.Scan() {
		return errors.Join(io.ErrUnexpectedEOF, i.answers.Err())
	}
	return json.Unmarshal(i.answers.Bytes(), v)
}

// figures asks the process what it uses.
func (i *instance) figures() (f figures, err error) {
	if _, err := io.WriteString(i.in, "figures\n"); err != nil {
		return f, err
	}
	return f, i.answer(&f)
}

// kill is kill -9.
func (i *instance) kill() {
	_ = i.process.Kill()
	<-i.ended
	i.process = nil
}

// patience bounds how long a process may take to end.
const patience = 15 * time.Second

// stop lets the process finish what it does. It returns an error if the process ended badly, now or before.
func (i *instance) stop() error {
	if i.process == nil {
		return nil
	}
	_ = i.in.Close()
	timer := time.AfterFunc(patience, func() { _ = i.process.Kill() })
	defer timer.Stop()
	<-i.ended
	if i.why != nil {
		return fmt.Errorf("instance %s: %w", i.Name, i.why)
	}
	return nil
}
