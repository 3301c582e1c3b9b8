#include "kube/codec/codec.h"
#include "kube/codec/scanner.h"

namespace meltemi::kube {

bool SplitWatchEvent(absl::string_view line, std::string* type, absl::string_view* object) {
  constexpr int kDepthMax = 200;
  JsonScanner in(line);
  type->clear();
  *object = absl::string_view();
  if (!in.Take('{')) return false;
  std::string scratch;
  do {
    absl::string_view key;
    if (!in.TakeKey(&scratch, &key)) return false;
    const bool ok = key == "type"     ? in.TakeString(type)
                    : key == "object" ? in.TakeAny(kDepthMax, object)
                                      : in.TakeAny(kDepthMax, nullptr);
    if (!ok) return false;
  } while (in.Take(','));
  return in.Take('}') && in.AtEnd() && !type->empty() && !object->empty();
}

}  // namespace meltemi::kube
