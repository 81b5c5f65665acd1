package e2e_test

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// sites serves the apps under test, one host each below app.test: rows do not share cookies.
type sites struct {
	port     string
	mu       sync.Mutex
	handlers map[string]http.Handler // guarded by mu; by host name
	before   map[string]intercept    // guarded by mu; by host name
	names    map[string]int          // guarded by mu; how often a name was given
	seen     []visit                 // guarded by mu
}

// intercept may answer a request in the app's place.
type intercept func(http.ResponseWriter, *http.Request) bool

// visit is one request that reached an app: what the browser really sent.
type visit struct {
	host, verb, path string
	cookies          []string // names
	values           map[string]string
	header           http.Header
}

// unique gives a name that no other app has, for go test -count: the first time the name itself.
func (s *sites) unique(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names[name]++
	if n := s.names[name]; n > 1 {
		return name + "-" + strconv.Itoa(n)
	}
	return name
}

func newSites() *sites {
	return &sites{handlers: map[string]http.Handler{}, before: map[string]intercept{}, names: map[string]int{}}
}

func (s *sites) url(name string) string { return "https://" + host(name) + ":" + s.port }

func host(name string) string { return name + ".app.test" }

func (s *sites) handle(name string, h http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handlers[host(name)] = h
}

// intercept lets f answer what would reach an app; nil ends it.
func (s *sites) intercept(name string, f intercept) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before[host(name)] = f
}

func (s *sites) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, _, _ := strings.Cut(r.Host, ":")
	v := visit{host: name, verb: r.Method, path: r.URL.Path, header: r.Header.Clone(), values: map[string]string{}}
	for _, c := range r.Cookies() {
		v.cookies = append(v.cookies, c.Name)
		v.values[c.Name] = c.Value
	}
	s.mu.Lock()
	s.seen = append(s.seen, v)
	h, before := s.handlers[name], s.before[name]
	s.mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	if h == nil {
		http.NotFound(w, r)
		return
	}
	h.ServeHTTP(w, r)
}

// visits are the requests with this method and path that reached an app, in order.
func (s *sites) visits(name, verb, path string) []visit { return s.at(host(name), verb, path) }

func (s *sites) at(host, verb, path string) []visit {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []visit
	for _, v := range s.seen {
		if v.host == host && v.verb == verb && v.path == path {
			found = append(found, v)
		}
	}
	return found
}
