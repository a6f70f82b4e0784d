package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/platforms"
)

// imageSteps pull the image, and leave it unpacked for the containers.
func (s *suite) imageSteps() {
	s.step("pull and unpack", s.pull)
	s.step("snapshotter walk with filters", s.walk)
	s.step("export and import with platforms", s.exportImport)
}

func (s *suite) pull(ctx context.Context) error {
	hosts := docker.ConfigureDefaultRegistries(docker.WithPlainHTTP(docker.MatchAllHosts))
	resolver := docker.NewResolver(docker.ResolverOptions{Hosts: hosts})
	image, err := s.client.Pull(ctx, s.ref,
		containerd.WithResolver(resolver),
		containerd.WithPlatformMatcher(platforms.Default()),
		containerd.WithPullUnpack,
		containerd.WithPullSnapshotter(snapshotter))
	if err != nil {
		return err
	}
	s.image = image
	unpacked, err := image.IsUnpacked(ctx, snapshotter)
	return errors.Join(err, want("unpacked", unpacked, true))
}

func (s *suite) walk(ctx context.Context) error {
	count := func(filters ...string) (n int, err error) {
		err = s.client.SnapshotService(snapshotter).Walk(ctx, func(_ context.Context, info snapshots.Info) error {
			n++
			return want("kind", info.Kind, snapshots.KindCommitted)
		}, filters...)
		return n, err
	}
	all, err := count("kind==committed")
	none, err2 := count("kind==active")
	if all == 0 {
		err = errors.Join(err, fmt.Errorf("no committed snapshot of the image"))
	}
	return errors.Join(err, err2, want("active snapshots", none, 0))
}

func (s *suite) exportImport(ctx context.Context) error {
	var out bytes.Buffer
	platform := platforms.Default()
	if err := s.client.Export(ctx, &out, archive.WithPlatform(platform), archive.WithImage(s.client.ImageService(), s.ref)); err != nil {
		return err
	}
	if err := s.client.ImageService().Delete(ctx, s.ref, images.SynchronousDelete()); err != nil {
		return err
	}
	imported, err := s.client.Import(ctx, &out, containerd.WithImportPlatform(platform))
	if err != nil {
		return err
	}
	if len(imported) != 1 || imported[0].Name != s.ref {
		return fmt.Errorf("imported %v, want %s", imported, s.ref)
	}
	s.image = containerd.NewImageWithPlatform(s.client, imported[0], platform)
	return s.image.Unpack(ctx, snapshotter)
}
