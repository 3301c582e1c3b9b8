// The expression is the input's first line, the object the rest.
#include <cstdint>

#include "base/json/parse.h"
#include "orchestrator/apiserver/schema/cel/program.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace meltemi;
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t line = text.find('\n');
  const auto program = cel::Program::Compile(text.substr(0, line));
  if (!program.ok() || line == absl::string_view::npos) return 0;
  json::ParseLimits limits;
  limits.size_bytes_max = 4096;
  const auto self = json::Parse(text.substr(line + 1), limits);
  if (!self.ok()) return 0;
  cel::Budget budget;
  budget.steps = 10'000;
  (void)program->Test(*self, &*self, budget).ok();
  (void)program->Text(*self, nullptr, budget).ok();
  return 0;
}
