// Elements of paths to fields, in the notation of metadata.managedFields (FieldsV1):
//
//   f:NAME      a member of a map          k:{"name":"x"}  an entry of a list, by its keys
//   v:"x"       an entry of a set          i:3             a place in a list
//
// An element is kept as this text, in a canonical form: the same element is always the same text.
//
// Threads: functions without state. Source: sigs.k8s.io/structured-merge-diff/fieldpath.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "orchestrator/apiserver/schema/schema.h"

namespace meltemi::apiserver {

std::string FieldElement(absl::string_view name);
// The member's name; nullopt for other elements.
std::optional<absl::string_view> FieldName(absl::string_view element);

// Of an entry of `list`, which is a set or a map. Nullopt: the entry has no identity; `why` tells
// it in Kubernetes' words.
std::optional<std::string> EntryElement(const Schema& list, const json::Value& entry,
                                        std::string* why);

// Of what a client sent; nullopt when it is none.
std::optional<std::string> CanonicalElement(absl::string_view text);

// <0, 0, >0: the order in which FieldsV1 are written. Numbers in keys compare as numbers.
int CompareElements(absl::string_view a, absl::string_view b);

// As paths are shown: ".spec", `[name="x"]`, `[="x"]`, "[3]".
std::string ElementText(absl::string_view element);

}  // namespace meltemi::apiserver
