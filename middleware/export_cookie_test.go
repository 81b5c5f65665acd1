package middleware

import (
	"net/http"
	"time"
)

// InnerCookie is what the adapter takes from the Set-Cookie line of a gorilla store for its session of that name.
func InnerCookie(name, line string) (string, error) {
	return headerSink{"Set-Cookie": {line}}.cookie(name)
}

// SetCookie and DropCookie are the lines that browsers get.
func SetCookie(name, value string, age time.Duration, site http.SameSite) string {
	return setCookie(name, value, age, site)
}

func DropCookie(name string, site http.SameSite) string { return dropCookie(name, site) }
