// Any RouteConfiguration: it compiles or is refused with a reason; what compiles can be matched
// with.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "envoy/config/route/v3/route.pb.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/text_format.h"
#include "proxy/config/compile/context.h"
#include "proxy/config/compile/route.h"
#include "proxy/config/secrets/secret_store_fake.h"
#include "proxy/observe/log_sink.h"
#include "proxy/observe/stream_info.h"
#include "proxy/route/rewrite.h"

namespace meltemi::proxy {
namespace {

class Silence final : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int, int, const std::string&) override {}
  void AddWarning(int, int, const std::string&) override {}
};

// Text (the corpus) or wire format.
bool Read(const uint8_t* data, size_t size, envoy::config::route::v3::RouteConfiguration* config) {
  Silence silence;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&silence);
  parser.SetRecursionLimit(32);
  const std::string text(reinterpret_cast<const char*>(data), size);
  return parser.ParseFromString(text, config) || config->ParseFromString(text);
}

}  // namespace
}  // namespace meltemi::proxy

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace meltemi::proxy;  // NOLINT: the entry point stands outside
  if (size > 16 * 1024) return 0;
  envoy::config::route::v3::RouteConfiguration config;
  if (!Read(data, size, &config)) return 0;
  LogSinks sinks;
  SecretStoreFake secrets;
  const CompileContext context{sinks, {}, "node", secrets};
  const auto table = CompileRouteTable(config, context);
  if (!table.ok()) {
    if (table.status().message().empty()) abort();
    return 0;
  }
  for (const char* path : {"/", "/a/b?q=1", "*"}) {
    meltemi::http::HeaderMapPtr request = meltemi::http::HeaderMap::New();
    request->set_method("GET");
    request->set_authority("a.com");
    request->set_path(path);
    const VirtualHost* host = nullptr;
    const Route* route = (*table)->Match(*request, {}, &host);
    if (route == nullptr) continue;
    if (route->action == Route::Action::kRedirect) RedirectLocation(*route, *request);
    if (route->action != Route::Action::kForward) continue;
    ApplyRequestChanges(*route, route->PickCluster(data[size / 2]), *request, StreamInfo());
  }
  return 0;
}
