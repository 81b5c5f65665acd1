package limitbody_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/twofold-auth/twofold/internal/limitbody"
)

func TestRead(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, tc := range []struct {
		name string
		body io.Reader
		want string
		err  error
	}{
		{"empty", strings.NewReader(""), "", nil},
		{"exactly the limit", strings.NewReader("12345678"), "12345678", nil},
		{"D06_one_byte_over_the_limit", strings.NewReader("123456789"), "", limitbody.ErrTooLarge},
		{"D06_endless", endless{}, "", limitbody.ErrTooLarge},
		{"the reader breaks off", io.MultiReader(strings.NewReader("123"), iotest.ErrReader(broken)), "", broken},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := limitbody.Read(tc.body, 8)
			if string(got) != tc.want || !errors.Is(err, tc.err) {
				t.Fatalf("Read = %q, %v; want %q, %v", got, err, tc.want, tc.err)
			}
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
