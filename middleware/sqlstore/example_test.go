package sqlstore_test

import (
	"context"
	"database/sql"
	"encoding/hex"
	"log"
	"net/http"
	"os"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/middleware/sqlstore"
	"github.com/twofold-auth/twofold/rp"
)

// Sessions of all instances in one PostgreSQL.
func Example() {
	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(10)
	store, err := sqlstore.New(sqlstore.Config{DB: db})
	if err != nil {
		log.Fatal(err)
	}
	if err := store.Migrate(context.Background()); err != nil {
		log.Fatal(err)
	}
	auth, err := middleware.New(middleware.Config{Client: provider(), Keys: [][]byte{key()}, Store: store})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	auth.Register(mux)
}

// What has ended is removed every few minutes, a thousand rows at once, until ctx ends.
func ExampleStore_CleanUp() {
	ctx, store := context.Background(), new(sqlstore.Store)

	tick := time.NewTicker(5 * time.Minute)
	defer tick.Stop()
	for {
		removed, err := store.CleanUp(ctx, 1000)
		if err != nil {
			log.Print(err)
		}
		if removed >= 1000 {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func provider() *rp.Client {
	client, err := rp.New(context.Background(), rp.Config{
		Issuer:      "https://login.example.com/",
		ClientID:    os.Getenv("CLIENT_ID"),
		ClientAuth:  rp.SecretBasic(os.Getenv("CLIENT_SECRET")),
		RedirectURL: "https://app.example.com/auth/callback",
	})
	if err != nil {
		log.Fatal(err)
	}
	return client
}

func key() []byte {
	key, err := hex.DecodeString(os.Getenv("COOKIE_KEY")) // openssl rand -hex 32
	if err != nil {
		log.Fatal("COOKIE_KEY: ", err)
	}
	return key
}
