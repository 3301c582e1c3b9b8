#include "proxy/route/header_ops.h"

#include "proxy/observe/format.h"

namespace meltemi::proxy {
namespace {

using http::HeaderMap;

bool IsPseudo(absl::string_view name) { return !name.empty() && name[0] == ':'; }

void SetPseudo(HeaderMap& target, absl::string_view name, absl::string_view value) {
  if (name == ":path") {
    target.set_path(value);
  } else if (name == ":authority") {
    target.set_authority(value);
  } else if (name == ":method") {
    target.set_method(value);
  } else if (name == ":scheme") {
    target.set_scheme(value);
  }
}

void Put(HeaderMap& target, const HeaderOps::Addition& addition, absl::string_view value) {
  if (value.empty() && !addition.keep_empty) return;
  if (IsPseudo(addition.name)) {
    const bool there = !target.Get(addition.name).empty();
    if (there ? addition.append != HeaderOps::Append::kAddIfAbsent
              : addition.append != HeaderOps::Append::kOverwriteIfExists) {
      SetPseudo(target, addition.name, value);
    }
    return;
  }
  switch (addition.append) {
    case HeaderOps::Append::kAppendOrAdd:
      target.Add(addition.name, value);
      break;
    case HeaderOps::Append::kAddIfAbsent:
      if (target.Find(addition.name) == nullptr) target.Add(addition.name, value);
      break;
    case HeaderOps::Append::kOverwriteOrAdd:
      target.Set(addition.name, value);
      break;
    case HeaderOps::Append::kOverwriteIfExists:
      if (target.Find(addition.name) != nullptr) target.Set(addition.name, value);
      break;
  }
}

}  // namespace

void HeaderOps::Apply(HeaderMap& target, const HeaderMap* request, const HeaderMap* response,
                      const StreamInfo& info) const {
  for (const std::string& name : remove) target.Remove(name);
  for (const Addition& addition : add) {
    if (addition.format == nullptr) {
      Put(target, addition, addition.literal);
      continue;
    }
    std::string value;
    addition.format->Append({request, response, nullptr, &info}, &value);
    Put(target, addition, value);
  }
}

}  // namespace meltemi::proxy
