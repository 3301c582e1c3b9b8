// Whatever comes as an AdmissionReview: an answer or an error, and the patch applies to its object.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/escaping.h"
#include "base/json/parse.h"
#include "pilot/inject/admission.h"
#include "pilot/inject/json_patch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace pilot = meltemi::pilot;
  namespace json = meltemi::json;
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  pilot::InjectSettings settings;
  settings.cni = size % 2 == 0;
  const absl::StatusOr<pilot::ReviewAnswer> answer = pilot::AnswerInjection(bytes, settings);
  if (!answer.ok()) return 0;
  const absl::StatusOr<json::Value> review = json::Parse(answer->body);
  if (!review.ok()) std::abort();
  const absl::string_view encoded = review->Find("response")->FindString("patch");
  if (encoded.empty()) return 0;
  std::string patch;
  if (!absl::Base64Unescape(encoded, &patch)) std::abort();
  absl::StatusOr<pilot::ReviewRequest> request = pilot::ParseReview(bytes);
  if (!request.ok()) std::abort();
  if (!pilot::ApplyJsonPatch(*json::Parse(patch), &request->object).ok()) std::abort();
  return 0;
}
