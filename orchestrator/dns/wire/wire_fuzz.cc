// Whatever comes over the network is read without harm; what was read as a query can be answered.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "orchestrator/dns/wire/message.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace meltemi::dns;
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  char out[kUdpBytesMax];
  Query query;
  if (ReadQuery(bytes, &query) == QueryRead::kOk) {
    AnswerWriter writer(out, query.udp_bytes_max);
    writer.Begin(query, kNoError, 0);
    AnswerInfo info;
    if (ReadAnswer(bytes, &info)) CopyAnswers(bytes, info, &writer);
    writer.NameRecord("", kTypePtr, 1, query.name);
    AnswerInfo own;
    if (!ReadAnswer(writer.Finish(), &own) || own.name != query.name) std::abort();
  }
  AnswerInfo info;
  if (ReadAnswer(bytes, &info)) {
    Query asked;
    asked.name = NameFromText("a.example");
    asked.question = asked.name + std::string("\0\1\0\1", 4);
    AnswerWriter writer(out, sizeof(out));
    writer.Begin(asked, kNoError, 0);
    CopyAnswers(bytes, info, &writer);
    AnswerInfo copied;
    if (!ReadAnswer(writer.Finish(), &copied)) std::abort();
  }
  return 0;
}
