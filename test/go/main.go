// Command goclient uses a daemon as nerdctl and buildkit do: by containerd's own client library, as Debian packages it.
// It prints "ok NAME" or "not ok NAME: why" for each step (a NAME has no colon), "the end" as the last one, and exits
// with 1 if one of them failed.
//
// Usage: goclient SOCKET IMAGE PLATFORMS, two references in a registry that speaks plain HTTP: IMAGE is busybox, PLATFORMS an
// image of two platforms.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

const (
	namespace   = "go-client"
	snapshotter = "overlayfs"
	stepTimeout = 20 * time.Second
)

// suite is what the steps share: later ones use what earlier ones made.
type suite struct {
	client *containerd.Client
	ref    string
	// platformsRef names the image of two platforms.
	platformsRef string
	image        containerd.Image
	failed       bool
}

// step runs f and prints its result. A panic is a failure of this step only.
func (s *suite) step(name string, f func(ctx context.Context) error) {
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(context.Background(), namespace), stepTimeout)
	defer cancel()
	err := func() (err error) {
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("panic: %v", r)
			}
		}()
		return f(ctx)
	}()
	if err == nil {
		fmt.Printf("ok %s\n", name)
		return
	}
	s.failed = true
	fmt.Printf("not ok %s: %s\n", name, strings.ReplaceAll(err.Error(), "\n", " "))
}

// want is an error if got differs from expected.
func want[T comparable](what string, got, expected T) error {
	if got != expected {
		return fmt.Errorf("%s is %v, want %v", what, got, expected)
	}
	return nil
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: goclient SOCKET IMAGE PLATFORMS")
		os.Exit(2)
	}
	client, err := containerd.New(os.Args[1], containerd.WithTimeout(stepTimeout))
	if err != nil {
		fmt.Printf("not ok connect: %v\n", err)
		os.Exit(1)
	}
	s := &suite{client: client, ref: os.Args[2], platformsRef: os.Args[3]}
	s.daemonSteps()
	s.imageSteps()
	s.contentSteps()
	s.transferSteps()
	s.containerSteps()
	s.step("the end", func(context.Context) error { return client.Close() })
	if s.failed {
		os.Exit(1)
	}
}
