package middleware_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/rp/optest"
)

// TestUserInfoThatDoesNotFit: a UserInfo response can be had again, tokens cannot. Where the cookies have no room for both,
// it is given out, and no refresh is lost for it.
func TestUserInfoThatDoesNotFit(t *testing.T) {
	t.Parallel()
	for _, size := range []int{4_700, 60_000} {
		t.Run(fmt.Sprintf("E10_G13_%d_bytes", size), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.op.Fault(func(a *optest.Answer) {
				if a.Endpoint == "/userinfo" {
					a.Claims["roles"] = strings.Repeat("r", size)
				}
			})
			w.page = func(rw http.ResponseWriter, r *http.Request) {
				s := middleware.FromContext(r.Context())
				var err error
				if r.URL.Query().Has("refresh") {
					err = s.Refresh(r.Context())
				} else {
					var roles struct {
						Roles string `json:"roles"`
					}
					info, asked := s.UserInfo(r.Context())
					if err = asked; err == nil {
						err = info.Claims(&roles)
					}
					if len(roles.Roles) != size && err == nil {
						err = fmt.Errorf("%d bytes", len(roles.Roles))
					}
				}
				if err != nil {
					t.Error(err)
				}
			}
			v := w.visitor()
			v.login("/auth/login", "alice")
			for range 3 {
				v.open("/tokens")
				w.clock.add(2 * time.Minute) // longer than this process remembers
				v.open("/tokens?refresh")
				w.clock.add(2 * time.Minute)
			}
			if n := w.refreshes(); n != 3 {
				t.Errorf("%d refreshes, want 3", n)
			}
		})
	}
}
