package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// seen is what an informer has told: "+name", "~name" with the value, "-name".
type seen struct {
	events chan string
	resync chan string
}

func watchMaps(ctx context.Context, client kubernetes.Interface, ns string, resync time.Duration) (*seen, error) {
	factory := informers.NewSharedInformerFactoryWithOptions(client, resync, informers.WithNamespace(ns))
	maps := factory.Core().V1().ConfigMaps().Informer()
	s := &seen{events: make(chan string, 10000), resync: make(chan string, 10000)}
	value := func(o interface{}) string { m := o.(*corev1.ConfigMap); return m.Name + m.Data["v"] }
	_, err := maps.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(o interface{}) { s.events <- "+" + value(o) },
		UpdateFunc: func(before, after interface{}) {
			if before.(*corev1.ConfigMap).ResourceVersion == after.(*corev1.ConfigMap).ResourceVersion {
				s.resync <- value(after)
				return
			}
			s.events <- "~" + value(after)
		},
		DeleteFunc: func(o interface{}) {
			if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			s.events <- "-" + value(o)
		},
	})
	if err != nil {
		return nil, err
	}
	factory.Start(ctx.Done())
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for kind, ok := range factory.WaitForCacheSync(waiting.Done()) {
		if !ok {
			return nil, fmt.Errorf("%v did not sync", kind)
		}
	}
	return s, nil
}

func (s *seen) expect(wanted ...string) error {
	for _, want := range wanted {
		select {
		case got := <-s.events:
			if got != want {
				return fmt.Errorf("the informer told %s, not %s", got, want)
			}
		case <-time.After(patience):
			return fmt.Errorf("the informer does not tell %s", want)
		}
	}
	return nil
}

func configMap(name, value string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"v": value}}
}

func informer(client kubernetes.Interface, _ *rest.Config) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := namespace(ctx, client, "informer"); err != nil {
		return err
	}
	maps := client.CoreV1().ConfigMaps("informer")
	if _, err := maps.Create(ctx, configMap("a", "0"), metav1.CreateOptions{}); err != nil {
		return err
	}
	s, err := watchMaps(ctx, client, "informer", 500*time.Millisecond)
	if err != nil {
		return err
	}
	if err := s.expect("+a0"); err != nil {
		return err
	}
	// Everything once, and in order.
	wanted := []string{}
	for i := 1; i <= 100; i++ {
		if _, err := maps.Update(ctx, configMap("a", fmt.Sprint(i)), metav1.UpdateOptions{}); err != nil {
			return err
		}
		wanted = append(wanted, fmt.Sprintf("~a%d", i))
	}
	if _, err := maps.Create(ctx, configMap("b", "1"), metav1.CreateOptions{}); err != nil {
		return err
	}
	if err := maps.Delete(ctx, "a", metav1.DeleteOptions{}); err != nil {
		return err
	}
	// An informer may leave out what was there for a moment only, not what came last.
	if err := s.expect(append(wanted, "+b1", "-a100")...); err != nil {
		return err
	}
	select {
	case <-s.resync:
	case <-time.After(patience):
		return fmt.Errorf("there is no resync")
	}
	if err := ask("restart", "restarted"); err != nil {
		return err
	}
	if _, err := maps.Create(ctx, configMap("c", "1"), metav1.CreateOptions{}); err != nil {
		return err
	}
	if _, err := maps.Update(ctx, configMap("b", "2"), metav1.UpdateOptions{}); err != nil {
		return err
	}
	if err := s.expect("+c1", "~b2"); err != nil {
		return fmt.Errorf("after the restart: %w", err)
	}
	return nil
}

// expired: the version that the story began with is compacted while nobody looks.
func expired(client kubernetes.Interface, _ *rest.Config) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := namespace(ctx, client, "expired"); err != nil {
		return err
	}
	maps := client.CoreV1().ConfigMaps("expired")
	first, err := maps.Create(ctx, configMap("a", "0"), metav1.CreateOptions{})
	if err != nil {
		return err
	}
	s, err := watchMaps(ctx, client, "expired", 0)
	if err != nil {
		return err
	}
	last := first
	for i := 1; i <= 20; i++ {
		if last, err = maps.Update(ctx, configMap("a", fmt.Sprint(i)), metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	if err := ask("compact "+last.ResourceVersion, "compacted"); err != nil {
		return err
	}
	w, err := maps.Watch(ctx, metav1.ListOptions{ResourceVersion: first.ResourceVersion})
	if err == nil {
		defer w.Stop()
		select {
		case event, ok := <-w.ResultChan():
			if !ok || event.Type != watch.Error {
				return fmt.Errorf("a watch of a compacted version: %v", event)
			}
			err = apierrors.FromObject(event.Object)
		case <-time.After(patience):
			return fmt.Errorf("a watch of a compacted version tells nothing")
		}
	}
	if !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
		return fmt.Errorf("a watch of a compacted version: %v", err)
	}
	// The informer finds its way: the end is what is there.
	if _, err := maps.Create(ctx, configMap("z", "1"), metav1.CreateOptions{}); err != nil {
		return err
	}
	deadline := time.After(patience)
	for {
		select {
		case got := <-s.events:
			if got == "+z1" {
				return nil
			}
		case <-deadline:
			return fmt.Errorf("the informer does not tell +z1")
		}
	}
}
