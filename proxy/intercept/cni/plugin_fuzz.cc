// Whatever a runtime hands over: an answer that is JSON, or nothing.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "base/json/parse.h"
#include "proxy/intercept/cni/plugin.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace proxy = meltemi::proxy;
  proxy::CniRequest request = {"ADD", "c", "/n", "eth0",
                               std::string(reinterpret_cast<const char*>(data), size)};
  for (const char* command : {"ADD", "CHECK", "DEL"}) {
    request.command = command;
    const proxy::CniAnswer answer =
        proxy::RunCni(request,
                      [](const std::string&,
                         const proxy::InterceptCommand& intercept) -> absl::StatusOr<std::string> {
                        if (!proxy::CheckInterceptOptions(intercept.options).ok()) std::abort();
                        return "";
                      });
    if (!answer.out.empty() && !meltemi::json::Parse(answer.out).ok()) std::abort();
  }
  return 0;
}
