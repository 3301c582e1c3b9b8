#include "pilot/status/config_dump.h"

#include <google/protobuf/any.pb.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/json/write.h"
#include "base/protojson/encode.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/access_loggers/file/v3/file.pb.h"
#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"
#include "envoy/extensions/filters/http/fault/v3/fault.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb.h"

namespace meltemi::pilot {
namespace {

// How Envoy's admin page wraps each type.
struct Section {
  XdsType type;
  const char* dump_type;
  const char* list;
  bool in_active_state;
  const char* field;
};

constexpr Section kSections[] = {
    {XdsType::kCluster, "ClustersConfigDump", "dynamic_active_clusters", false, "cluster"},
    {XdsType::kEndpoint, "EndpointsConfigDump", "dynamic_endpoint_configs", false,
     "endpoint_config"},
    {XdsType::kListener, "ListenersConfigDump", "dynamic_listeners", true, "listener"},
    {XdsType::kRoute, "RoutesConfigDump", "dynamic_route_configs", false, "route_config"},
};

void WriteResource(const Section& section, const Resource& resource, json::Writer* writer) {
  google::protobuf::Any any;
  if (!any.ParseFromString(resource.any)) return;
  writer->BeginObject();
  if (section.in_active_state) {
    writer->Key("name").String(resource.name);
    writer->Key("active_state").BeginObject();
  }
  writer->Key(section.field);
  protojson::WriteJson(any, {.proto_names = true}, writer);
  if (section.in_active_state) writer->EndObject();
  writer->EndObject();
}

}  // namespace

std::string ConfigDumpJson(ProxyView* view, const std::vector<XdsType>& types) {
  std::string out;
  json::Writer writer(&out, 1);
  writer.BeginObject();
  writer.Key("configs").BeginArray();
  for (const Section& section : kSections) {
    if (!types.empty() && std::find(types.begin(), types.end(), section.type) == types.end()) {
      continue;
    }
    writer.BeginObject();
    writer.Key("@type").String(
        absl::StrCat("type.googleapis.com/envoy.admin.v3.", section.dump_type));
    writer.Key(section.list).BeginArray();
    for (const ResourcePtr& resource : view->Everything(section.type)) {
      WriteResource(section, *resource, &writer);
    }
    writer.EndArray();
    writer.EndObject();
  }
  writer.EndArray();
  writer.EndObject();
  out += "\n";
  return out;
}

}  // namespace meltemi::pilot
