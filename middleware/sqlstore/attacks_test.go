package sqlstore_test

import (
	"fmt"
	"sync"
	"testing"
)

func TestX4dTwoAppsMakeOneSchema(t *testing.T) {
	t.Parallel()
	url := server(t)
	for round := range 5 {
		var wg sync.WaitGroup
		for i := range 4 {
			store, _, _ := place{url: url, schema: fmt.Sprint("x_shared", round), prefix: fmt.Sprintf("app%c_", 'a'+i)}.open(t)
			wg.Go(func() {
				if err := store.Migrate(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
}
