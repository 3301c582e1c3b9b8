// Asks kube-scheduler's own plugins about clusters: a JSON document per line on standard input
// (Question), the answers on standard output, a line each (Answer).
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/go-logr/logr"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/feature"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/imagelocality"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/interpodaffinity"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodeaffinity"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodename"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodeports"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/noderesources"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodeunschedulable"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/podtopologyspread"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/tainttoleration"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
)

type Question struct {
	Nodes      []*v1.Node      `json:"nodes"`
	Pods       []*v1.Pod       `json:"pods"`
	Namespaces []*v1.Namespace `json:"namespaces"`
	Services   []*v1.Service   `json:"services"`
	Pod        *v1.Pod         `json:"pod"`
	// Nodes to score.
	Feasible []string `json:"feasible"`
	// Names of pods of one node that preemption would take away.
	Victims []string `json:"victims"`
	// LeastAllocated, MostAllocated, RequestedToCapacityRatio.
	Strategy  string                         `json:"strategy"`
	Resources []config.ResourceSpec          `json:"resources"`
	Shape     []config.UtilizationShapePoint `json:"shape"`
}

type Answer struct {
	// By plugin and node: "ok", "no: REASONS", "never: REASONS"; under "" what PreFilter says.
	Filters map[string]map[string]string `json:"filters"`
	// The same for the victims' node after they are gone.
	After map[string]string `json:"after"`
	// By plugin and node, normalised; under "" what PreScore says.
	Scores  map[string]map[string]int64 `json:"scores"`
	Skipped []string                    `json:"skipped"`
}

func text(status *framework.Status) string {
	switch status.Code() {
	case framework.Success:
		return "ok"
	case framework.Skip:
		return "skip"
	case framework.Unschedulable:
		return "no: " + strings.Join(status.Reasons(), ", ")
	case framework.UnschedulableAndUnresolvable:
		return "never: " + strings.Join(status.Reasons(), ", ")
	}
	return "error: " + status.Message()
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func makePlugins(ctx context.Context, q *Question, handle framework.Handle) []framework.Plugin {
	features := feature.Features{
		EnableNodeInclusionPolicyInPodTopologySpread: true,
		EnableMatchLabelKeysInPodTopologySpread:      true,
		EnableSidecarContainers:                      true,
		EnableSchedulingQueueHint:                    true,
	}
	type factory = func(context.Context, runtime.Object, framework.Handle, feature.Features) (framework.Plugin, error)
	strategy := &config.ScoringStrategy{
		Type:                     config.ScoringStrategyType(q.Strategy),
		Resources:                q.Resources,
		RequestedToCapacityRatio: &config.RequestedToCapacityRatioParam{Shape: q.Shape},
	}
	// Unused with other strategies, but validated.
	if len(q.Shape) == 0 {
		strategy.RequestedToCapacityRatio.Shape = []config.UtilizationShapePoint{{Utilization: 0, Score: 0}}
	}
	var all []framework.Plugin
	add := func(args runtime.Object, make factory) {
		all = append(all, must(make(ctx, args, handle, features)))
	}
	plain := func(make func(context.Context, runtime.Object, framework.Handle) (framework.Plugin, error)) factory {
		return func(ctx context.Context, args runtime.Object, handle framework.Handle, _ feature.Features) (framework.Plugin, error) {
			return make(ctx, args, handle)
		}
	}
	add(nil, nodeunschedulable.New)
	add(nil, nodename.New)
	add(nil, tainttoleration.New)
	add(&config.NodeAffinityArgs{}, nodeaffinity.New)
	add(nil, nodeports.New)
	add(&config.NodeResourcesFitArgs{ScoringStrategy: strategy}, noderesources.NewFit)
	add(&config.PodTopologySpreadArgs{DefaultingType: config.SystemDefaulting}, podtopologyspread.New)
	add(&config.InterPodAffinityArgs{HardPodAffinityWeight: 1}, interpodaffinity.New)
	balanced := make([]config.ResourceSpec, 0, len(q.Resources))
	for _, resource := range q.Resources {
		balanced = append(balanced, config.ResourceSpec{Name: resource.Name, Weight: 1})
	}
	add(&config.NodeResourcesBalancedAllocationArgs{Resources: balanced}, noderesources.NewBalancedAllocation)
	add(nil, plain(imagelocality.New))
	return all
}

func filter(ctx context.Context, q *Question, plugin framework.Plugin, snapshot *cache.Snapshot, answer *Answer) {
	filtering, ok := plugin.(framework.FilterPlugin)
	if !ok {
		return
	}
	state := framework.NewCycleState()
	verdicts := map[string]string{}
	answer.Filters[plugin.Name()] = verdicts
	if before, ok := plugin.(framework.PreFilterPlugin); ok {
		only, status := before.PreFilter(ctx, state, q.Pod)
		if !status.IsSuccess() {
			verdicts[""] = text(status)
			return
		}
		if only != nil {
			names := only.NodeNames.UnsortedList()
			verdicts[""] = fmt.Sprint("only ", len(names))
		}
	}
	for _, node := range q.Nodes {
		info := must(snapshot.NodeInfos().Get(node.Name))
		verdicts[node.Name] = text(filtering.Filter(ctx, state, q.Pod, info))
	}
	if len(q.Victims) == 0 {
		return
	}
	// As preemption does it: on copies.
	state = state.Clone()
	var extensions framework.PreFilterExtensions
	if before, ok := plugin.(framework.PreFilterPlugin); ok {
		extensions = before.PreFilterExtensions()
	}
	var info *framework.NodeInfo
	for _, name := range q.Victims {
		for _, pod := range q.Pods {
			if pod.Name != name {
				continue
			}
			if info == nil {
				info = must(snapshot.NodeInfos().Get(pod.Spec.NodeName)).Snapshot()
			}
			must(0, info.RemovePod(klog.FromContext(ctx), pod))
			if extensions == nil {
				continue
			}
			gone := must(framework.NewPodInfo(pod))
			if status := extensions.RemovePod(ctx, state, q.Pod, gone, info); !status.IsSuccess() {
				must(0, status.AsError())
			}
		}
	}
	answer.After[plugin.Name()] = text(filtering.Filter(ctx, state, q.Pod, info))
}

func score(ctx context.Context, q *Question, plugin framework.Plugin, snapshot *cache.Snapshot, answer *Answer) {
	scoring, ok := plugin.(framework.ScorePlugin)
	if !ok {
		return
	}
	state := framework.NewCycleState()
	var nodes []*framework.NodeInfo
	for _, name := range q.Feasible {
		nodes = append(nodes, must(snapshot.NodeInfos().Get(name)))
	}
	if before, ok := plugin.(framework.PreScorePlugin); ok {
		status := before.PreScore(ctx, state, q.Pod, nodes)
		if status.IsSkip() {
			answer.Skipped = append(answer.Skipped, plugin.Name())
			return
		}
		must(0, status.AsError())
	}
	var scores framework.NodeScoreList
	for _, name := range q.Feasible {
		points, status := scoring.Score(ctx, state, q.Pod, name)
		must(0, status.AsError())
		scores = append(scores, framework.NodeScore{Name: name, Score: points})
	}
	if extensions := scoring.ScoreExtensions(); extensions != nil {
		must(0, extensions.NormalizeScore(ctx, state, q.Pod, scores).AsError())
	}
	answer.Scores[plugin.Name()] = map[string]int64{}
	for _, entry := range scores {
		answer.Scores[plugin.Name()][entry.Name] = entry.Score
	}
}

func ask(ctx context.Context, q *Question) *Answer {
	snapshot := cache.NewSnapshot(q.Pods, q.Nodes)
	// Never started: the objects are put where its listers look.
	factory := informers.NewSharedInformerFactory(nil, 0)
	for _, namespace := range q.Namespaces {
		must(0, factory.Core().V1().Namespaces().Informer().GetIndexer().Add(namespace))
	}
	for _, service := range q.Services {
		must(0, factory.Core().V1().Services().Informer().GetIndexer().Add(service))
	}
	handle := must(frameworkruntime.NewFramework(ctx, nil, nil,
		frameworkruntime.WithSnapshotSharedLister(snapshot),
		frameworkruntime.WithInformerFactory(factory)))
	answer := &Answer{
		Filters: map[string]map[string]string{},
		After:   map[string]string{},
		Scores:  map[string]map[string]int64{},
	}
	for _, plugin := range makePlugins(ctx, q, handle) {
		filter(ctx, q, plugin, snapshot, answer)
		score(ctx, q, plugin, snapshot, answer)
	}
	return answer
}

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	metrics.Register() // plugins count into them
	klog.SetLogger(logr.Discard())
	input := bufio.NewReaderSize(os.Stdin, 1<<20)
	output := bufio.NewWriter(os.Stdout)
	defer output.Flush()
	decoder, encoder := json.NewDecoder(input), json.NewEncoder(output)
	for decoder.More() {
		question := &Question{}
		must(0, decoder.Decode(question))
		must(0, encoder.Encode(ask(ctx, question)))
	}
}
