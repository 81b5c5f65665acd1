//go:build !linux

package main

import "time"

// othersTime is not known here.
func othersTime() time.Duration { return 0 }
