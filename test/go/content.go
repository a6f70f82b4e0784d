package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// contentSteps write blobs.
func (s *suite) contentSteps() {
	s.step("a writer of content resumes and labels", s.resume)
	s.step("errors of committing content", s.commitErrors)
}

// write stores the blob under the ingest's reference.
func (s *suite) write(ctx context.Context, ref string, blob []byte, labels map[string]string) (ocispec.Descriptor, error) {
	desc := ocispec.Descriptor{Digest: digest.FromBytes(blob), Size: int64(len(blob)), MediaType: "application/octet-stream"}
	err := content.WriteBlob(ctx, s.client.ContentStore(), ref, bytes.NewReader(blob), desc, content.WithLabels(labels))
	return desc, err
}

func (s *suite) resume(ctx context.Context) error {
	store := s.client.ContentStore()
	ctx, done, err := s.client.WithLease(ctx)
	if err != nil {
		return err
	}
	defer done(ctx)
	first, err := store.Writer(ctx, content.WithRef("resumed"))
	if err != nil {
		return err
	}
	if _, err := first.Write([]byte("half ")); err != nil {
		return err
	}
	if err := first.Close(); err != nil {
		return err
	}
	status, err := store.Status(ctx, "resumed")
	if err != nil {
		return err
	}
	if err := want("offset", status.Offset, 5); err != nil {
		return err
	}
	labels := map[string]string{"test": "resumed"}
	desc, err := s.write(ctx, "resumed", []byte("half and half"), labels)
	if err != nil {
		return err
	}
	info, err := store.Info(ctx, desc.Digest)
	if err != nil {
		return err
	}
	return errors.Join(want("size", info.Size, 13), want("label", info.Labels["test"], "resumed"), store.Delete(ctx, desc.Digest))
}

func (s *suite) commitErrors(ctx context.Context) error {
	store := s.client.ContentStore()
	defer store.Abort(ctx, "wrong")
	blob := []byte("some bytes")
	commit := func(size int64, expected digest.Digest) error {
		writer, err := store.Writer(ctx, content.WithRef("wrong"))
		if err != nil {
			return err
		}
		defer writer.Close()
		if err := writer.Truncate(0); err != nil {
			return err
		}
		if _, err := writer.Write(blob); err != nil {
			return err
		}
		return writer.Commit(ctx, size, expected)
	}
	if err := commit(3, digest.FromBytes(blob)); !errdefs.IsFailedPrecondition(err) {
		return fmt.Errorf("wrong size: %v, want failed precondition", err)
	}
	store.Abort(ctx, "wrong")
	if err := commit(int64(len(blob)), digest.FromString("other")); !errdefs.IsFailedPrecondition(err) {
		return fmt.Errorf("wrong digest: %v, want failed precondition", err)
	}
	if _, err := s.write(ctx, "once", blob, nil); err != nil {
		return err
	}
	defer store.Delete(ctx, digest.FromBytes(blob))
	_, err := store.Writer(ctx, content.WithRef("twice"), content.WithDescriptor(ocispec.Descriptor{Digest: digest.FromBytes(blob), Size: int64(len(blob))}))
	if !errdefs.IsAlreadyExists(err) {
		return fmt.Errorf("a writer for what exists: %v, want already exists", err)
	}
	return nil
}
