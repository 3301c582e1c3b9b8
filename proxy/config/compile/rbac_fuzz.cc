// Any RBAC: it compiles or is refused with a reason; what compiles can be judged by.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "envoy/config/rbac/v3/rbac.pb.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/text_format.h"
#include "proxy/config/compile/rbac.h"
#include "proxy/filters/rbac/engine.h"
#include "proxy/observe/tls_info.h"

namespace meltemi::proxy {
namespace {

class Silence final : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int, int, const std::string&) override {}
  void AddWarning(int, int, const std::string&) override {}
};

// Text (the corpus) or wire format.
bool Read(const uint8_t* data, size_t size, envoy::config::rbac::v3::RBAC* rbac) {
  Silence silence;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&silence);
  parser.SetRecursionLimit(64);
  const std::string text(reinterpret_cast<const char*>(data), size);
  return parser.ParseFromString(text, rbac) || rbac->ParseFromString(text);
}

}  // namespace
}  // namespace meltemi::proxy

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace meltemi::proxy;  // NOLINT: the entry point stands outside
  if (size > 16 * 1024) return 0;
  envoy::config::rbac::v3::RBAC rbac;
  if (!Read(data, size, &rbac)) return 0;
  const auto rules = CompileRbacRules(rbac, "rules");
  if (!rules.ok()) {
    if (rules.status().message().empty()) abort();
    return 0;
  }
  TlsInfo tls;
  tls.peer_verified = true;
  tls.peer_uri_sans = {"spiffe://cluster.local/ns/a/sa/b"};
  const meltemi::net::Address address = *meltemi::net::Address::Parse("10.0.0.1:80");
  for (const char* path : {"", "/a?b#c"}) {
    const meltemi::http::HeaderMapPtr request = meltemi::http::HeaderMap::New();
    request->set_path(path);
    const RbacRules::Decision decision = (*rules)->Judge({.request = *request,
                                                          .local = address,
                                                          .direct_remote = address,
                                                          .remote = address,
                                                          .server_name = "a",
                                                          .tls = *path == 0 ? nullptr : &tls});
    if (!decision.allowed && decision.denied_details().empty()) abort();
  }
  return 0;
}
