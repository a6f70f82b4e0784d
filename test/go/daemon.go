package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	apievents "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
)

// daemonSteps look at what is not an image and not a container.
func (s *suite) daemonSteps() {
	s.step("namespace with labels", s.namespaceLabels)
	s.step("nested namespace and lease contexts", s.nestedContexts)
	s.step("lease with expiration", s.leaseExpiration)
	s.step("introspection of plugins", s.plugins)
	s.step("events by topic", s.events)
}

func (s *suite) namespaceLabels(ctx context.Context) error {
	store := s.client.NamespaceService()
	if err := store.Create(ctx, namespace, map[string]string{"a": "1"}); err != nil {
		return err
	}
	if err := store.Create(ctx, namespace, nil); !errdefs.IsAlreadyExists(err) {
		return fmt.Errorf("creating it again: %v, want already exists", err)
	}
	if err := store.SetLabel(ctx, namespace, "b", "2"); err != nil {
		return err
	}
	labels, err := store.Labels(ctx, namespace)
	if err != nil {
		return err
	}
	return want("labels", fmt.Sprint(labels), "map[a:1 b:2]")
}

// nestedContexts sends namespace and lease twice: the library appends to the outgoing metadata each time.
func (s *suite) nestedContexts(ctx context.Context) error {
	ctx, done, err := s.client.WithLease(ctx)
	if err != nil {
		return err
	}
	id, _ := leases.FromContext(ctx)
	ctx = leases.WithLease(namespaces.WithNamespace(ctx, namespace), id)
	blob := []byte("held by a lease that is named twice")
	desc, err := s.write(ctx, "nested", blob, nil)
	if err == nil {
		var held []leases.Resource
		held, err = s.client.LeasesService().ListResources(ctx, leases.Lease{ID: id})
		if err == nil && (len(held) != 1 || held[0].ID != desc.Digest.String()) {
			err = fmt.Errorf("the lease holds %v, want %s", held, desc.Digest)
		}
	}
	return errors.Join(err, done(ctx))
}

func (s *suite) leaseExpiration(ctx context.Context) error {
	manager := s.client.LeasesService()
	lease, err := manager.Create(ctx, leases.WithRandomID(), leases.WithExpiration(time.Hour))
	if err != nil {
		return err
	}
	at, err := time.Parse(time.RFC3339, lease.Labels["containerd.io/gc.expire"])
	if err == nil && time.Until(at) > time.Hour+time.Minute {
		err = fmt.Errorf("it expires at %s", at)
	}
	return errors.Join(err, manager.Delete(ctx, lease, leases.SynchronousDelete))
}

func (s *suite) plugins(ctx context.Context) error {
	answer, err := s.client.IntrospectionService().Plugins(ctx, "type==io.containerd.snapshotter.v1")
	if err != nil {
		return err
	}
	for _, plugin := range answer.Plugins {
		if plugin.Type != "io.containerd.snapshotter.v1" {
			return fmt.Errorf("the filter let a %s pass", plugin.Type)
		}
		if plugin.ID == snapshotter {
			return nil
		}
	}
	return fmt.Errorf("no plugin %s among %d", snapshotter, len(answer.Plugins))
}

func (s *suite) events(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	envelopes, failures := s.client.Subscribe(ctx, `topic=="/namespaces/delete"`, `topic~="^/namespaces/upd"`)
	store := s.client.NamespaceService()
	// Subscribe does not say when the daemon has it, so that the first events may be missed.
	for i := 0; ; i++ {
		name := fmt.Sprintf("events-%d", i)
		if err := store.Create(ctx, name, nil); err != nil {
			return err
		}
		if err := store.Delete(ctx, name); err != nil {
			return err
		}
		select {
		case envelope := <-envelopes:
			if err := want("topic", envelope.Topic, "/namespaces/delete"); err != nil {
				return err
			}
			event, err := typeurl.UnmarshalAny(envelope.Event)
			if err != nil {
				return err
			}
			if _, fits := event.(*apievents.NamespaceDelete); !fits {
				return fmt.Errorf("the event is a %T", event)
			}
			return nil
		case err := <-failures:
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}
