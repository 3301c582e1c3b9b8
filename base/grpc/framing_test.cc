#include "base/grpc/framing.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace meltemi::http::grpc {
namespace {

TEST(GrpcFramingTest, MessagesComeBackWhereverTheyAreCut) {
  Buffer wire;
  const std::vector<std::string> messages = {"one", "", std::string(100000, 'x'), "four"};
  for (const std::string& message : messages) AppendMessage(message, &wire);
  const std::string bytes = wire.ToString();
  for (const size_t step : {size_t{1}, size_t{3}, size_t{4096}, bytes.size()}) {
    MessageReader reader(1 << 20);
    std::vector<std::string> got;
    for (size_t at = 0; at < bytes.size(); at += step) {
      Buffer piece(absl::string_view(bytes).substr(at, step));
      reader.Append(piece);
      EXPECT_TRUE(piece.empty());
      Buffer message;
      while (*reader.Next(&message)) got.push_back(message.ToString());
    }
    EXPECT_EQ(got, messages);
    EXPECT_TRUE(reader.at_boundary());
  }
}

TEST(GrpcFramingTest, TooLargeIsSaidBeforeTheMessageArrives) {
  MessageReader reader(10);
  Buffer wire(absl::string_view("\0\0\0\0\x0b", 5));
  reader.Append(wire);
  Buffer message;
  EXPECT_EQ(reader.Next(&message).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(GrpcFramingTest, CompressedAndUnknownFlagsAreErrors) {
  Buffer message;
  MessageReader compressed(10);
  Buffer one(absl::string_view("\1\0\0\0\0", 5));
  compressed.Append(one);
  EXPECT_EQ(compressed.Next(&message).status().code(), absl::StatusCode::kUnimplemented);
  MessageReader odd(10);
  Buffer two(absl::string_view("\2\0\0\0\0", 5));
  odd.Append(two);
  EXPECT_EQ(odd.Next(&message).status().code(), absl::StatusCode::kInternal);
}

TEST(GrpcFramingTest, KnowsWhetherTheStreamMayEnd) {
  MessageReader reader(10);
  Buffer part(absl::string_view("\0\0\0\0\5ab", 7));
  reader.Append(part);
  Buffer message;
  EXPECT_FALSE(*reader.Next(&message));
  EXPECT_FALSE(reader.at_boundary());
}

}  // namespace
}  // namespace meltemi::http::grpc
