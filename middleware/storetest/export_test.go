package storetest

import "time"

// LosePatience has rows fail soon.
func LosePatience() { patience, lease = 2*time.Second, 600*time.Millisecond }
