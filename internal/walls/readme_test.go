package walls_test

import (
	"os"
	"strings"
	"testing"
)

// TestREADMEProgramCompiles: the program in the README is the middleware's example, word for word, so it compiles.
func TestREADMEProgramCompiles(t *testing.T) {
	t.Parallel()
	readme := read(t, "../../README.md")
	_, rest, ok := strings.Cut(readme, "```go\n")
	block, _, ok2 := strings.Cut(rest, "```\n")
	_, body, ok3 := strings.Cut(read(t, "../../middleware/example_program_test.go"), "\n)\n\n")
	if !ok || !ok2 || !ok3 {
		t.Fatal("no Go block in the README, or no program in the example")
	}
	if want := strings.Replace(body, "func Example_program()", "func main()", 1); block != want {
		t.Error("the README's program differs from middleware/example_program_test.go")
	}
}

// TestREADMECommands: the README promises two commands, and these two.
func TestREADMECommands(t *testing.T) {
	t.Parallel()
	if want := "```sh\ngo run ./examples/quickstart\ngo test ./...\n```"; !strings.Contains(read(t, "../../README.md"), want) {
		t.Errorf("the README lacks %q", want)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
