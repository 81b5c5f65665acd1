package main

import (
	"bytes"
	"net"
	"os"
	"strings"
	"testing"
)

// TestMain makes the test program an instance of the app when a test starts it as one.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == instanceFlag {
		exit(runInstance(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

func TestCheck(t *testing.T) {
	t.Parallel()
	needRedis(t)
	var out bytes.Buffer
	if err := runCheck(t.Context(), &out); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestTakenPortIsNamed(t *testing.T) {
	t.Parallel()
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for flag, p := range map[string]plan{
		"-listen":   {listen: taken.Addr().String(), provider: "127.0.0.1:0"},
		"-provider": {listen: "localhost:0", provider: taken.Addr().String()},
	} {
		f, err := p.start(t.Context())
		if err == nil {
			t.Fatal("it starts", f.stop())
		}
		if !strings.HasPrefix(err.Error(), flag+" ") || !strings.Contains(err.Error(), "is taken") {
			t.Errorf("%v", err)
		}
	}
}

func TestInstanceSaysWhyItCannotStart(t *testing.T) {
	t.Parallel()
	i := instance{settings: settings{Name: "A", Issuer: "http://127.0.0.1:1", Base: "http://localhost:1", Secret: "x", Quiet: true}}
	if err := i.start(); err == nil || !strings.HasPrefix(err.Error(), "instance A: ") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("%v", err)
	}
}
