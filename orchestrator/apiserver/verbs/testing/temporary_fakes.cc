// Stand-ins until the real ones are there.
#include "base/json/parse.h"
#include "orchestrator/apiserver/patch/managed_fields.h"
#include "orchestrator/apiserver/watch/cache.h"
namespace meltemi::apiserver {
json::Value CachedObject::Tree() const { return *json::Parse(json); }
void TrackUpdate(const Schema&, const json::Value& live, const FieldManager& m, json::Value& u) {
  json::Value e = json::Value::Object();
  e.Set("manager", json::Value::String(m.name));
  e.Set("operation", json::Value::String("Update"));
  e.Set("time", json::Value::String(m.time));
  if (const json::Value* old = live.Find("metadata", "managedFields");
      old && old->items().size() && old->items()[0].FindString("manager") == m.name) {
    u.MutableObject("metadata").Set("managedFields", *old);
    return;
  }
  json::Value l = json::Value::Array();
  l.Append(e);
  u.MutableObject("metadata").Set("managedFields", l);
}
}
