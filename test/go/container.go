package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/containerd/containerd/api/types/runc/options"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// containerSteps run processes of the pulled image.
func (s *suite) containerSteps() {
	s.step("task with FIFOs, output and exit code", s.run)
	s.step("exec, its exit code, kill and delete", s.exec)
	s.step("runc options, the owner of the task's streams", s.runcOptions)
	s.step("user namespace with a remapped snapshot", s.userNamespace)
}

// container makes a container, with a snapshot of its own, that runs the command.
func (s *suite) container(ctx context.Context, id string, command []string, more ...oci.SpecOpts) (containerd.Container, error) {
	return s.containerOn(ctx, id, containerd.WithNewSnapshot(id, s.image), command, more...)
}

func (s *suite) containerOn(ctx context.Context, id string, snapshot containerd.NewContainerOpts, command []string, more ...oci.SpecOpts) (containerd.Container, error) {
	if s.image == nil {
		return nil, errors.New("the image was not pulled")
	}
	spec := append([]oci.SpecOpts{oci.WithImageConfig(s.image), oci.WithProcessArgs(command...)}, more...)
	return s.client.NewContainer(ctx, id, containerd.WithImage(s.image), containerd.WithSnapshotter(snapshotter), snapshot, containerd.WithNewSpec(spec...))
}

// outcome is what a process left.
type outcome struct {
	out  string
	code uint32
}

// finish runs the container's task to its end and deletes it.
func finish(ctx context.Context, container containerd.Container) (outcome, error) {
	var out bytes.Buffer
	code, err := finishTask(ctx, container, &out)
	return outcome{out.String(), code}, err
}

// finishTask is finish with options of the task; out is whole when it returns, as Delete waits for the FIFOs' end.
func finishTask(ctx context.Context, container containerd.Container, out *bytes.Buffer, more ...containerd.NewTaskOpts) (code uint32, err error) {
	task, err := container.NewTask(ctx, cio.NewCreator(cio.WithStreams(nil, out, os.Stderr)), more...)
	if err != nil {
		return 0, err
	}
	defer func() {
		_, failure := task.Delete(ctx, containerd.WithProcessKill)
		err = errors.Join(err, failure)
	}()
	ended, err := task.Wait(ctx)
	if err != nil {
		return 0, err
	}
	if err := task.Start(ctx); err != nil {
		return 0, err
	}
	code, _, err = (<-ended).Result()
	return code, err
}

func (s *suite) run(ctx context.Context) (err error) {
	container, err := s.container(ctx, "run", []string{"sh", "-c", "echo hello; exit 7"})
	if err != nil {
		return err
	}
	o, err := finish(ctx, container)
	err = errors.Join(err, want("output", o.out, "hello\n"), want("exit code", o.code, 7))
	err = errors.Join(err, container.Delete(ctx, containerd.WithSnapshotCleanup))
	if _, statErr := s.client.SnapshotService(snapshotter).Stat(ctx, "run"); !errdefs.IsNotFound(statErr) {
		err = errors.Join(err, fmt.Errorf("the snapshot after the cleanup: %v, want not found", statErr))
	}
	return err
}

func (s *suite) exec(ctx context.Context) (err error) {
	container, err := s.container(ctx, "exec", []string{"sleep", "1000"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, container.Delete(ctx, containerd.WithSnapshotCleanup)) }()
	task, err := container.NewTask(ctx, cio.NullIO)
	if err != nil {
		return err
	}
	deleted := false
	defer func() {
		if !deleted {
			task.Delete(ctx, containerd.WithProcessKill)
		}
	}()
	ended, err := task.Wait(ctx)
	if err != nil {
		return err
	}
	if err := task.Start(ctx); err != nil {
		return err
	}
	if err := execOnce(ctx, task); err != nil {
		return err
	}
	if _, err := task.Delete(ctx); !errdefs.IsFailedPrecondition(err) {
		return fmt.Errorf("deleting a running task: %v, want failed precondition", err)
	}
	if err := task.Kill(ctx, syscall.SIGKILL); err != nil {
		return err
	}
	status := <-ended
	if err := want("exit code after SIGKILL", status.ExitCode(), 137); err != nil {
		return err
	}
	_, err = task.Delete(ctx)
	deleted = err == nil
	return err
}

func execOnce(ctx context.Context, task containerd.Task) error {
	var out bytes.Buffer
	process := &specs.Process{Args: []string{"sh", "-c", "echo from exec; exit 3"}, Cwd: "/", Env: []string{"PATH=/bin"}}
	exec, err := task.Exec(ctx, "one", process, cio.NewCreator(cio.WithStreams(nil, &out, os.Stderr)))
	if err != nil {
		return err
	}
	ended, err := exec.Wait(ctx)
	if err != nil {
		return err
	}
	if err := exec.Start(ctx); err != nil {
		return err
	}
	status := <-ended
	_, err = exec.Delete(ctx)
	return errors.Join(err, want("exit code", status.ExitCode(), 3), want("output", out.String(), "from exec\n"))
}

// runcOptions gives the streams an owner: the group shows the option, as the user is also the process's own.
func (s *suite) runcOptions(ctx context.Context) error {
	command := []string{"sh", "-c", "ls -lnL /proc/self/fd/1"}
	container, err := s.container(ctx, "options", command, oci.WithUserID(1234))
	if err != nil {
		return err
	}
	var out bytes.Buffer
	withOptions := func(_ context.Context, _ *containerd.Client, info *containerd.TaskInfo) error {
		info.Options = &options.Options{IoUid: 1234, IoGid: 1235, BinaryName: "runc"}
		return nil
	}
	code, err := finishTask(ctx, container, &out, withOptions)
	fields := strings.Fields(out.String())
	if err == nil && (len(fields) < 4 || fields[2] != "1234" || fields[3] != "1235") {
		err = fmt.Errorf("the owner of standard output: %q, want 1234 1235", out.String())
	}
	return errors.Join(err, want("exit code", code, 0), container.Delete(ctx, containerd.WithSnapshotCleanup))
}

func (s *suite) userNamespace(ctx context.Context) error {
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}}
	snapshot := containerd.WithUserNSRemappedSnapshot("remapped", s.image, ids, ids)
	container, err := s.containerOn(ctx, "remapped", snapshot, []string{"sh", "-c", "id -u; cat /proc/self/uid_map"}, oci.WithUserNamespace(ids, ids))
	if err != nil {
		return err
	}
	o, err := finish(ctx, container)
	return errors.Join(err, want("exit code", o.code, 0), want("output", o.out, "0\n         0     100000      65536\n"),
		container.Delete(ctx, containerd.WithSnapshotCleanup))
}
