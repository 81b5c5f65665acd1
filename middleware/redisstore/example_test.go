package redisstore_test

import (
	"context"
	"encoding/hex"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/twofold-auth/twofold/middleware"
	"github.com/twofold-auth/twofold/middleware/redisstore"
	"github.com/twofold-auth/twofold/rp"
)

// Sessions of all instances in one Redis.
func Example() {
	client := redis.NewClient(&redis.Options{
		Addr:                  "localhost:6379",
		ContextTimeoutEnabled: true, // calls end with their request
		DialTimeout:           time.Second,
		ReadTimeout:           time.Second,
	})
	defer func() { _ = client.Close() }()
	store, err := redisstore.New(redisstore.Config{Client: client})
	if err != nil {
		log.Fatal(err)
	}
	auth, err := middleware.New(middleware.Config{Client: provider(), Keys: [][]byte{key()}, Store: store})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	auth.Register(mux)
}

// Redis with Sentinels: the client finds the master, also after a failover.
func Example_sentinel() {
	client := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName:            "sessions",
		SentinelAddrs:         []string{"sentinel-1:26379", "sentinel-2:26379", "sentinel-3:26379"},
		ContextTimeoutEnabled: true,
	})
	defer func() { _ = client.Close() }()
	if _, err := redisstore.New(redisstore.Config{Client: client, Prefix: "shop:"}); err != nil {
		log.Fatal(err)
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
