// The kind CustomResourceDefinition: what is defaulted and refused when one is written, and the
// columns of its table.
//
// Threads: immutable; called from any request's thread.
// Source: k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/{v1/defaults.go,validation}.
#pragma once

#include <memory>

#include "absl/strings/string_view.h"
#include "orchestrator/apiserver/kinds/resource.h"
#include "orchestrator/apiserver/kinds/strategy.h"

namespace meltemi::apiserver {

// Keeps a definition until its instances are gone; on every definition from the beginning.
inline constexpr absl::string_view kDefinitionFinalizer =
    "customresourcecleanup.apiextensions.k8s.io";

std::unique_ptr<const Strategy> NewDefinitionStrategy();
std::unique_ptr<const TableColumns> NewDefinitionColumns();

// customresourcedefinitions.apiextensions.k8s.io/v1, complete: strategy, columns, verbs, status.
// `schema` is the kind's own and outlives the resource.
std::shared_ptr<const Resource> NewDefinitionResource(const Schema& schema);

// `resource` with the strategy and the columns of definitions, when it is theirs; else null. Keeps
// what `resource` points to alive.
std::shared_ptr<const Resource> AsDefinitionResource(std::shared_ptr<const Resource> resource);

}  // namespace meltemi::apiserver
