// Header additions, replacements and removals with Envoy's substitution language (%REQ(..)% …),
// compiled. Immutable, thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/http/header_map.h"

namespace meltemi::proxy {

struct StreamInfo;
class Format;  // proxy/observe/format.h: a compiled format string

struct HeaderOps {
  enum class Append : uint8_t {
    kAppendOrAdd,        // APPEND_IF_EXISTS_OR_ADD
    kAddIfAbsent,        // ADD_IF_ABSENT
    kOverwriteOrAdd,     // OVERWRITE_IF_EXISTS_OR_ADD
    kOverwriteIfExists,  // OVERWRITE_IF_EXISTS
  };
  struct Addition {
    std::string name;     // lower case; ":path", ":authority" … allowed for requests
    std::string literal;  // when format is null
    std::shared_ptr<const Format> format;
    Append append = Append::kAppendOrAdd;
    bool keep_empty = false;
  };
  std::vector<Addition> add;
  std::vector<std::string> remove;  // lower case; applied before the additions

  bool empty() const { return add.empty() && remove.empty(); }
  // `request` and `response` are what format fields may read; `target` is one of the two.
  void Apply(http::HeaderMap& target, const http::HeaderMap* request,
             const http::HeaderMap* response, const StreamInfo& info) const;
};

}  // namespace meltemi::proxy
