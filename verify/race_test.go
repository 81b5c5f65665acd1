//go:build race

package verify_test

func init() { raceDetector = true }
