package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	transferimage "github.com/containerd/containerd/v2/core/transfer/image"
	"github.com/containerd/containerd/v2/core/transfer/registry"
	"github.com/containerd/typeurl/v2"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// transferSteps move content by the daemon's own work, not the library's.
func (s *suite) transferSteps() {
	s.step("transfer pulls all platforms", s.transfer)
	s.step("a layer is applied with payloads for processors", s.apply)
}

func (s *suite) transfer(ctx context.Context) error {
	source, err := registry.NewOCIRegistry(ctx, s.platformsRef, registry.WithDefaultScheme("http"))
	if err != nil {
		return err
	}
	if err := s.client.Transfer(ctx, source, transferimage.NewStore(s.platformsRef)); err != nil {
		return err
	}
	stored, err := s.client.ImageService().Get(ctx, s.platformsRef)
	if err != nil {
		return err
	}
	store := s.client.ContentStore()
	blob, err := content.ReadBlob(ctx, store, stored.Target)
	if err != nil {
		return err
	}
	var index ocispec.Index
	if err := json.Unmarshal(blob, &index); err != nil {
		return err
	}
	if err := want("platforms", len(index.Manifests), 2); err != nil {
		return err
	}
	// Each child of each platform must be there, layers included.
	return images.Walk(ctx, images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		if _, err := store.Info(ctx, desc.Digest); err != nil {
			return nil, fmt.Errorf("%s %s: %w", desc.MediaType, desc.Digest, err)
		}
		return images.Children(ctx, store, desc)
	}), stored.Target)
}

// apply sends a payload that no processor of a plain layer wants; buildkit and imgcrypt send theirs with every layer.
func (s *suite) apply(ctx context.Context) (err error) {
	if s.image == nil {
		return errors.New("the image was not pulled")
	}
	manifest, err := images.Manifest(ctx, s.client.ContentStore(), s.image.Target(), s.image.Platform())
	if err != nil {
		return err
	}
	ids, err := s.image.RootFS(ctx)
	if err != nil {
		return err
	}
	snapshots := s.client.SnapshotService(snapshotter)
	mounts, err := snapshots.Prepare(ctx, "applied", "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snapshots.Remove(ctx, "applied")) }()
	payload, err := typeurl.MarshalAny(&types.Descriptor{MediaType: "application/octet-stream"})
	if err != nil {
		return err
	}
	payloads := map[string]typeurl.Any{"io.containerd.ocicrypt.decoder.v1.tar.gzip": payload}
	applied, err := s.client.DiffService().Apply(ctx, manifest.Layers[0], mounts, diff.WithPayloads(payloads))
	if err != nil {
		return err
	}
	return want("digest of the applied layer", applied.Digest, ids[0])
}
