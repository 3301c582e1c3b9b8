#include "orchestrator/store/store.h"

namespace meltemi::store {

std::string PrefixEnd(absl::string_view prefix) {
  std::string end(prefix);
  while (!end.empty()) {
    if (static_cast<unsigned char>(end.back()) != 0xff) {
      ++end.back();
      return end;
    }
    end.pop_back();
  }
  return std::string("\0", 1);  // every key: etcd's notation for "to the end"
}

}  // namespace meltemi::store
