package main

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// candidate runs until `ctx` is done; it tells when it leads and when it has stopped.
func candidate(ctx context.Context, client kubernetes.Interface, name string, leads, stopped chan<- string) {
	leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Name: "leader", Namespace: "election"},
			Client:     client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: name},
		},
		ReleaseOnCancel: true,
		LeaseDuration:   6 * time.Second,
		RenewDeadline:   4 * time.Second,
		RetryPeriod:     500 * time.Millisecond,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { leads <- name },
			OnStoppedLeading: func() { stopped <- name },
		},
	})
}

func wait(who <-chan string, what string) (string, error) {
	select {
	case name := <-who:
		return name, nil
	case <-time.After(patience):
		return "", fmt.Errorf("nobody %s", what)
	}
}

func election(client kubernetes.Interface, _ *rest.Config) error {
	ctx := context.Background()
	if err := namespace(ctx, client, "election"); err != nil {
		return err
	}
	leads, stopped := make(chan string, 10), make(chan string, 10)
	cancels := map[string]context.CancelFunc{}
	for _, name := range []string{"one", "two"} {
		running, cancel := context.WithCancel(ctx)
		defer cancel()
		cancels[name] = cancel
		go candidate(running, client, name, leads, stopped)
	}
	first, err := wait(leads, "leads")
	if err != nil {
		return err
	}
	select {
	case second := <-leads:
		return fmt.Errorf("%s and %s lead at the same time", first, second)
	case <-time.After(2 * time.Second):
	}
	cancels[first]()
	if gone, err := wait(stopped, "stops leading"); err != nil || gone != first {
		return fmt.Errorf("%s stopped, not %s: %w", gone, first, err)
	}
	second, err := wait(leads, "leads after the first")
	if err != nil {
		return err
	}
	lease, err := client.CoordinationV1().Leases("election").Get(ctx, "leader", metav1.GetOptions{})
	if err != nil {
		return err
	}
	if second == first || *lease.Spec.HolderIdentity != second || *lease.Spec.LeaseTransitions < 1 ||
		lease.Spec.RenewTime.IsZero() {
		return fmt.Errorf("after %s comes %s: %v", first, second, lease.Spec)
	}
	return nil
}
