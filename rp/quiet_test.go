package rp_test

import "log/slog"

// quiet is a logger for tests that look at no log.
var quiet = slog.New(slog.DiscardHandler)
