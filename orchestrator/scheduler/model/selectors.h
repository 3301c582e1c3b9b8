// Typed label selectors as what matches labels.
//
// Threads: functions without state. Source: metav1.LabelSelector.
#pragma once

#include "kube/meta/v1/meta.pb.h"
#include "kube/selector/selector.h"

namespace meltemi::scheduler {

// A selector that the API server would refuse matches nothing.
kube::LabelSelector SelectorOf(const kube::meta::v1::LabelSelector& selector);

kube::StringPairs SortedLabels(const google::protobuf::Map<std::string, std::string>& labels);

// The value of a label, or null.
const std::string* FindLabel(const kube::StringPairs& labels, absl::string_view key);

}  // namespace meltemi::scheduler
