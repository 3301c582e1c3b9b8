#include "base/json/parse.h"
#include "orchestrator/apiserver/watch/cache.h"

namespace meltemi::apiserver {

json::Value CachedObject::Tree() const { return *json::Parse(json); }

}  // namespace meltemi::apiserver
