// Requests of any kind to the handlers: "METHOD TARGET", "CONTENT-TYPE|ACCEPT", then the body.
// Everything is answered, answers are JSON or YAML, and what is stored stays readable.
#include <cstdint>
#include <cstdlib>

#include "absl/strings/str_split.h"
#include "orchestrator/apiserver/http/request.h"
#include "orchestrator/apiserver/verbs/rest.h"
#include "orchestrator/apiserver/verbs/testing/widgets.h"

namespace meltemi::apiserver {
namespace {

void CheckAnswer(const Reply& reply) {
  const auto* body = std::get_if<Body>(&reply);
  if (body == nullptr) return;
  if (body->code < 200 || body->code > 599) abort();
  if (body->content_type == "application/json" && !json::Parse(body->bytes).ok()) abort();
}

void Run(absl::string_view data) {
  const std::vector<absl::string_view> lines = absl::StrSplit(data, absl::MaxSplits('\n', 2));
  if (lines.size() < 3) return;
  const std::pair<absl::string_view, absl::string_view> start =
      absl::StrSplit(lines[0], absl::MaxSplits(' ', 1));
  const std::pair<absl::string_view, absl::string_view> types =
      absl::StrSplit(lines[1], absl::MaxSplits('|', 1));
  WidgetWorld world;
  FastRandom random(1);
  const std::unique_ptr<Handler> handler = NewResourceHandler({.objects = *world.objects,
                                                               .cache = world.cache,
                                                               .catalogs = *world.catalogs,
                                                               .admission = world.admission,
                                                               .clock = world.clock,
                                                               .random = random});
  WriteContext context = world.Context();
  const kube::Result<Written> made =
      world.objects->Create(*world.widgets, "default",
                            Json(R"({"metadata":{"name":"a"},"spec":{"color":"red"}})"), context);
  if (!made.ok()) abort();
  Request request;
  request.method = std::string(start.first);
  request.target = std::string(start.second);
  const std::pair<absl::string_view, absl::string_view> target =
      absl::StrSplit(start.second, absl::MaxSplits('?', 1));
  request.query = Query::Parse(target.second);
  request.info = ParseRequestInfo(request.method, target.first, target.second);
  if (!request.info.is_resource) return;
  request.headers["content-type"] = std::string(types.first);
  request.headers["accept"] = std::string(types.second);
  request.body = std::string(lines[2]);
  CheckAnswer(handler->Handle(request));
  for (const auto& [key, kv] : world.store.all()) {
    if (!json::Parse(kv.value).ok()) abort();
  }
}

}  // namespace
}  // namespace meltemi::apiserver

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  meltemi::apiserver::Run(absl::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}
