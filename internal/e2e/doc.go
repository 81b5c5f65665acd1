// Package e2e holds the end-to-end tests: Twofold logs in at a certified provider (panva's oidc-provider, over TLS, on
// another site than the app) with a real browser (Chromium, without a window). It has no code of its own.
//
// It wants Node.js 22 or later, Chromium and, once, npm ci in this directory. What is missing skips the tests and is
// named; with CI=true or TWOFOLD_E2E=1 in the environment it fails them.
package e2e
