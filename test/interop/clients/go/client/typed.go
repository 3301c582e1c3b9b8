package main

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applyapps "k8s.io/client-go/applyconfigurations/apps/v1"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
)

func namespace(ctx context.Context, client kubernetes.Interface, name string) error {
	_, err := client.CoreV1().Namespaces().Create(ctx,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func deployment(name string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{
					{Name: "web", Image: "nginx:1", Ports: []corev1.ContainerPort{{ContainerPort: 80}}},
				}},
			},
		},
	}
}

func typed(client kubernetes.Interface, _ *rest.Config) error {
	ctx := context.Background()
	if err := namespace(ctx, client, "typed"); err != nil {
		return err
	}
	for _, chapter := range []func(context.Context, kubernetes.Interface) error{
		createAndConflict, patches, applies, deletes, pages,
	} {
		if err := chapter(ctx, client); err != nil {
			return err
		}
	}
	return nil
}

func createAndConflict(ctx context.Context, client kubernetes.Interface) error {
	deployments := client.AppsV1().Deployments("typed")
	created, err := deployments.Create(ctx, deployment("web"), metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	if created.UID == "" || created.ResourceVersion == "" || created.Generation != 1 ||
		created.CreationTimestamp.IsZero() || *created.Spec.Replicas != 1 ||
		created.Spec.Strategy.RollingUpdate.MaxSurge.String() != "25%" ||
		created.Spec.Template.Spec.Containers[0].ImagePullPolicy != corev1.PullIfNotPresent {
		return fmt.Errorf("create: not defaulted: %v", created)
	}
	if _, err := deployments.Create(ctx, deployment("web"), metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("second create: %v", err)
	}
	stale := created.DeepCopy()
	replicas := int32(3)
	created.Spec.Replicas = &replicas
	updated, err := deployments.Update(ctx, created, metav1.UpdateOptions{FieldManager: "updater"})
	if err != nil || updated.Generation != 2 || *updated.Spec.Replicas != 3 {
		return fmt.Errorf("update: %v %w", updated, err)
	}
	stale.Labels["late"] = "yes"
	if _, err := deployments.Update(ctx, stale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		return fmt.Errorf("stale update: %v", err)
	}
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		latest, err := deployments.Get(ctx, "web", metav1.GetOptions{})
		if err != nil {
			return err
		}
		latest.Labels["late"] = "yes"
		_, err = deployments.Update(ctx, latest, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("retried update: %w", err)
	}
	bad := deployment("bad")
	bad.Spec.Template.Labels = map[string]string{"other": "x"}
	if _, err := deployments.Create(ctx, bad, metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		return fmt.Errorf("invalid create: %v", err)
	}
	latest, err := deployments.Get(ctx, "web", metav1.GetOptions{})
	if err != nil {
		return err
	}
	latest.Status.Replicas = 3
	status, err := deployments.UpdateStatus(ctx, latest, metav1.UpdateOptions{})
	if err != nil || status.Status.Replicas != 3 || status.Generation != 2 {
		return fmt.Errorf("status: %v %w", status, err)
	}
	scale, err := deployments.GetScale(ctx, "web", metav1.GetOptions{})
	if err != nil || scale.Spec.Replicas != 3 || scale.Status.Selector != "app=web" {
		return fmt.Errorf("scale: %v %w", scale, err)
	}
	scale.Spec.Replicas = 5
	if scale, err = deployments.UpdateScale(ctx, "web", scale, metav1.UpdateOptions{}); err != nil || scale.Spec.Replicas != 5 {
		return fmt.Errorf("update of scale: %v %w", scale, err)
	}
	return nil
}

func patches(ctx context.Context, client kubernetes.Interface) error {
	deployments := client.AppsV1().Deployments("typed")
	for _, patch := range []struct {
		kind  types.PatchType
		data  string
		check func(*appsv1.Deployment) bool
	}{
		{types.JSONPatchType, `[{"op":"replace","path":"/spec/replicas","value":2}]`,
			func(d *appsv1.Deployment) bool { return *d.Spec.Replicas == 2 }},
		{types.MergePatchType, `{"metadata":{"annotations":{"note":"x"},"labels":{"late":null}}}`,
			func(d *appsv1.Deployment) bool {
				return d.Annotations["note"] == "x" && d.Labels["late"] == ""
			}},
		{types.StrategicMergePatchType,
			`{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"s:1"}]}}}}`,
			func(d *appsv1.Deployment) bool { return len(d.Spec.Template.Spec.Containers) == 2 }},
	} {
		patched, err := deployments.Patch(ctx, "web", patch.kind, []byte(patch.data), metav1.PatchOptions{})
		if err != nil || !patch.check(patched) {
			return fmt.Errorf("%s: %v %w", patch.kind, patched, err)
		}
	}
	_, err := deployments.Patch(ctx, "web", types.JSONPatchType,
		[]byte(`[{"op":"test","path":"/spec/replicas","value":9}]`), metav1.PatchOptions{})
	if !apierrors.IsInvalid(err) {
		return fmt.Errorf("failed test: %v", err)
	}
	_, err = deployments.Patch(ctx, "none", types.MergePatchType, []byte(`{}`), metav1.PatchOptions{})
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("patch of nothing: %v", err)
	}
	return nil
}

func applies(ctx context.Context, client kubernetes.Interface) error {
	deployments := client.AppsV1().Deployments("typed")
	want := applyapps.Deployment("web", "typed").WithSpec(applyapps.DeploymentSpec().WithReplicas(7))
	_, err := deployments.Apply(ctx, want, metav1.ApplyOptions{FieldManager: "applier"})
	if !apierrors.IsConflict(err) {
		return fmt.Errorf("apply of another's field: %v", err)
	}
	causes := err.(apierrors.APIStatus).Status().Details.Causes
	if len(causes) != 1 || causes[0].Type != metav1.CauseTypeFieldManagerConflict ||
		causes[0].Field != ".spec.replicas" {
		return fmt.Errorf("causes of the conflict: %v", causes)
	}
	applied, err := deployments.Apply(ctx, want, metav1.ApplyOptions{FieldManager: "applier", Force: true})
	if err != nil || *applied.Spec.Replicas != 7 {
		return fmt.Errorf("forced apply: %v %w", applied, err)
	}
	again, err := deployments.Apply(ctx, want, metav1.ApplyOptions{FieldManager: "applier"})
	if err != nil || again.ResourceVersion != applied.ResourceVersion {
		return fmt.Errorf("apply of the same: %s, not %s: %w", again.ResourceVersion, applied.ResourceVersion, err)
	}
	extracted, err := applyapps.ExtractDeployment(again, "applier")
	if err != nil || extracted.Spec == nil || *extracted.Spec.Replicas != 7 {
		return fmt.Errorf("extracted: %v %w", extracted, err)
	}
	made, err := client.CoreV1().ConfigMaps("typed").Apply(ctx,
		applycore.ConfigMap("applied", "typed").WithData(map[string]string{"k": "v"}),
		metav1.ApplyOptions{FieldManager: "applier"})
	if err != nil || made.Data["k"] != "v" {
		return fmt.Errorf("apply that creates: %v %w", made, err)
	}
	return nil
}

func deletes(ctx context.Context, client kubernetes.Interface) error {
	maps := client.CoreV1().ConfigMaps("typed")
	held := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "held-", Finalizers: []string{"example.com/hold"}}}
	held, err := maps.Create(ctx, held, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	wrong := types.UID("none")
	err = maps.Delete(ctx, held.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &wrong}})
	if !apierrors.IsConflict(err) {
		return fmt.Errorf("delete of another uid: %v", err)
	}
	if err := maps.Delete(ctx, held.Name, metav1.DeleteOptions{}); err != nil {
		return err
	}
	held, err = maps.Get(ctx, held.Name, metav1.GetOptions{})
	if err != nil || held.DeletionTimestamp == nil {
		return fmt.Errorf("held by a finalizer: %v %w", held, err)
	}
	held.Finalizers = nil
	if _, err := maps.Update(ctx, held, metav1.UpdateOptions{}); err != nil {
		return err
	}
	if _, err := maps.Get(ctx, held.Name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		return fmt.Errorf("after its last finalizer: %v", err)
	}
	if err := client.AppsV1().Deployments("typed").Delete(ctx, "web", metav1.DeleteOptions{}); err != nil {
		return err
	}
	err = client.AppsV1().Deployments("typed").Delete(ctx, "web", metav1.DeleteOptions{})
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("second delete: %v", err)
	}
	return nil
}

func pages(ctx context.Context, client kubernetes.Interface) error {
	maps := client.CoreV1().ConfigMaps("typed")
	for i := 0; i < 25; i++ {
		page := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("page-%02d", i), Labels: map[string]string{"page": fmt.Sprint(i % 2)}}}
		if _, err := maps.Create(ctx, page, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	seen, next := map[string]bool{}, ""
	for {
		list, err := maps.List(ctx, metav1.ListOptions{LabelSelector: "page in (1)", Limit: 5, Continue: next})
		if err != nil {
			return fmt.Errorf("page: %w", err)
		}
		for _, item := range list.Items {
			if seen[item.Name] {
				return fmt.Errorf("%s came twice", item.Name)
			}
			seen[item.Name] = true
		}
		if next = list.Continue; next == "" {
			break
		}
	}
	if len(seen) != 12 {
		return fmt.Errorf("%d on all pages", len(seen))
	}
	list, err := maps.List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=page-07"})
	if err != nil || len(list.Items) != 1 {
		return fmt.Errorf("field selector: %v %w", list, err)
	}
	err = maps.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "page"})
	if err != nil {
		return fmt.Errorf("delete of all: %w", err)
	}
	list, err = maps.List(ctx, metav1.ListOptions{LabelSelector: "page"})
	if err != nil || len(list.Items) != 0 {
		return fmt.Errorf("after the delete of all: %v %w", list, err)
	}
	return nil
}
