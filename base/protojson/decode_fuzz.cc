// Any text: the parsers and the decoder neither crash nor hang, and what decodes is written as JSON
// that decodes into the same message.
#include <cstdint>
#include <cstdlib>

#include "base/json/parse.h"
#include "base/protojson/decode.h"
#include "base/protojson/encode.h"
#include "base/protojson/sample.pb.h"
#include "base/yaml/parse.h"

namespace {

using meltemi::protojson::sample::Sample;

void Check(const meltemi::json::Value& value) {
  Sample message;
  if (!meltemi::protojson::Decode(value, "input", &message).ok()) return;
  const std::string json = meltemi::protojson::ToJson(message);
  Sample again;
  if (!meltemi::protojson::DecodeText(json, "output", &again).ok()) std::abort();
  if (meltemi::protojson::ToJson(again) != json) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto documents =
      meltemi::yaml::ParseAll(text, {.size_bytes_max = 100'000, .values_max = 10'000});
  if (documents.ok()) {
    for (const meltemi::json::Value& document : *documents) Check(document);
  }
  const auto value = meltemi::json::Parse(text);
  if (value.ok()) Check(*value);
  return 0;
}
