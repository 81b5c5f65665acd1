package redisstore

import (
	"context"
	_ "embed" // the scripts

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/save.lua
	saveSource string
	//go:embed lua/index.lua
	indexSource string
	//go:embed lua/bury.lua
	burySource string
	//go:embed lua/take.lua
	takeSource string
	//go:embed lua/free.lua
	freeSource string
)

var (
	saveScript  = redis.NewScript(saveSource)
	indexScript = redis.NewScript(indexSource)
	buryScript  = redis.NewScript(burySource)
	takeScript  = redis.NewScript(takeSource)
	freeScript  = redis.NewScript(freeSource)
)

// call is one script to run. Each may be run twice: go-redis repeats what got no answer.
type call struct {
	script *redis.Script
	keys   []string
	args   []any
}

// run sends calls in one round trip, in a second one with their text if a server does not know them (yet, or not any
// more: it was restarted, or is a replica that took over).
func (s *Store) run(ctx context.Context, calls ...call) ([]string, error) {
	answers, err := s.pipeline(ctx, calls, (*redis.Script).EvalSha)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		answers, err = s.pipeline(ctx, calls, (*redis.Script).Eval)
	}
	return answers, err
}

type evaluator func(sc *redis.Script, ctx context.Context, c redis.Scripter, keys []string, args ...any) *redis.Cmd

// pipeline returns the answers, or the first error.
func (s *Store) pipeline(ctx context.Context, calls []call, eval evaluator) ([]string, error) {
	pipe := s.client.Pipeline()
	commands := make([]*redis.Cmd, len(calls))
	for i, c := range calls {
		commands[i] = eval(c.script, ctx, pipe, c.keys, c.args...)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	answers := make([]string, len(calls))
	for i, c := range commands {
		text, err := c.Text()
		if err != nil {
			return nil, err
		}
		answers[i] = text
	}
	return answers, nil
}
