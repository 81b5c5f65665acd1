package storetest

import "time"

// LosePatience has rows fail soon.
func LosePatience() { patience = 2 * time.Second }
