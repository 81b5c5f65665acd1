package seal

// SetSeals sets how often the first key was used.
func SetSeals(b *Box, n uint64) { b.keys[0].seals.Store(n) }
