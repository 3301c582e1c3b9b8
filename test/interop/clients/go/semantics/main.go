// Command semantics answers what Kubernetes' own libraries make of selectors, quantities, patches
// and server-side apply: one JSON request per line, one JSON answer per line.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
)

type write struct {
	Manager string          `json:"manager"`
	Apply   bool            `json:"apply"`
	Force   bool            `json:"force"`
	Object  json.RawMessage `json:"object"`
}

type request struct {
	Op         string          `json:"op"`
	Text       string          `json:"text"`
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Object     json.RawMessage `json:"object"`
	Patch      json.RawMessage `json:"patch"`
	Writes     []write         `json:"writes"`
}

type answer struct {
	Text   string          `json:"text,omitempty"`
	Object json.RawMessage `json:"object,omitempty"`
	Error  string          `json:"error,omitempty"`
}

func fail(err error) answer { return answer{Error: err.Error()} }

func quantity(text string) answer {
	parsed, err := resource.ParseQuantity(text)
	if err != nil {
		return fail(err)
	}
	out := parsed.String()
	// Larger and negative ones overflow, which is nobody's rule.
	if value := parsed.AsApproximateFloat64(); value >= 0 && value < 1e15 {
		out += fmt.Sprintf(" %d %d", parsed.Value(), parsed.MilliValue())
	}
	return answer{Text: out}
}

func labelSelector(text string) answer {
	selector, err := labels.Parse(text)
	if err != nil {
		return fail(err)
	}
	return answer{Text: selector.String()}
}

func fieldSelector(text string) answer {
	selector, err := fields.ParseSelector(text)
	if err != nil {
		return fail(err)
	}
	return answer{Text: selector.String()}
}

func jsonPatch(r request) answer {
	patch, err := jsonpatch.DecodePatch(r.Patch)
	if err != nil {
		return fail(err)
	}
	patched, err := patch.Apply(r.Object)
	if err != nil {
		return fail(err)
	}
	return answer{Object: patched}
}

func decode(data []byte) (map[string]interface{}, error) {
	object := map[string]interface{}{}
	err := utiljson.Unmarshal(data, &object)
	return object, err
}

func strategicMerge(r request) answer {
	typed, err := scheme.Scheme.New(schema.FromAPIVersionAndKind(r.APIVersion, r.Kind))
	if err != nil {
		return fail(err)
	}
	object, err := decode(r.Object)
	if err != nil {
		return fail(err)
	}
	patch, err := decode(r.Patch)
	if err != nil {
		return fail(err)
	}
	merged, err := strategicpatch.StrategicMergeMapPatch(object, patch, typed)
	if err != nil {
		return fail(err)
	}
	return encode(merged)
}

func encode(object interface{}) answer {
	data, err := json.Marshal(object)
	if err != nil {
		return fail(err)
	}
	return answer{Object: data}
}

// newFieldManager makes what kube-apiserver uses, without defaults.
func newFieldManager(kind schema.GroupVersionKind) (*managedfields.FieldManager, error) {
	return managedfields.NewDefaultFieldManager(applyconfigurations.NewTypeConverter(scheme.Scheme),
		scheme.Scheme, runtime.NewScheme(), scheme.Scheme, kind, kind.GroupVersion(), "", nil)
}

// play makes one write of a story.
func play(manager *managedfields.FieldManager, live runtime.Object, kind schema.GroupVersionKind,
	w write) (runtime.Object, error) {
	object, err := decode(w.Object)
	if err != nil {
		return nil, err
	}
	object["apiVersion"], object["kind"] = kind.ToAPIVersionAndKind()
	if w.Apply {
		return manager.Apply(live, &unstructured.Unstructured{Object: object}, w.Manager, w.Force)
	}
	typed, err := scheme.Scheme.New(kind)
	if err != nil {
		return nil, err
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object, typed); err != nil {
		return nil, err
	}
	return manager.Update(live, typed, w.Manager)
}

// writes plays a story of applies and updates. The answer is the object at its end, with
// managedFields and without their times; a write that fails ends the story.
func writes(r request) answer {
	kind := schema.FromAPIVersionAndKind(r.APIVersion, r.Kind)
	manager, err := newFieldManager(kind)
	if err != nil {
		return fail(err)
	}
	live, err := scheme.Scheme.New(kind)
	if err != nil {
		return fail(err)
	}
	for _, w := range r.Writes {
		live.GetObjectKind().SetGroupVersionKind(kind)
		if live, err = play(manager, live, kind, w); err != nil {
			return fail(err)
		}
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(live)
	if err != nil {
		return fail(err)
	}
	if entries, found, _ := unstructured.NestedSlice(object, "metadata", "managedFields"); found {
		for _, entry := range entries {
			delete(entry.(map[string]interface{}), "time")
		}
		_ = unstructured.SetNestedSlice(object, entries, "metadata", "managedFields")
	}
	return encode(object)
}

func handle(r request) answer {
	switch r.Op {
	case "quantity":
		return quantity(r.Text)
	case "labels":
		return labelSelector(r.Text)
	case "fields":
		return fieldSelector(r.Text)
	case "json":
		return jsonPatch(r)
	case "merge":
		merged, err := jsonpatch.MergePatch(r.Object, r.Patch)
		if err != nil {
			return fail(err)
		}
		return answer{Object: merged}
	case "strategic":
		return strategicMerge(r)
	case "writes":
		return writes(r)
	default:
		return answer{Error: "no such op: " + r.Op}
	}
}

func main() {
	lines := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var r request
		result := answer{}
		if err := json.Unmarshal(line, &r); err != nil {
			result = fail(err)
		} else {
			result = handle(r)
		}
		data, err := json.Marshal(result)
		if err != nil {
			data = []byte(`{"error":"unprintable"}`)
		}
		out.Write(append(data, '\n'))
		out.Flush()
	}
}
