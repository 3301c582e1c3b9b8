#include "orchestrator/apiserver/schema/protobuf_body.h"

#include <string>

#include "absl/strings/escaping.h"
#include "base/json/write.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace meltemi::apiserver {
namespace {

using ::testing::HasSubstr;

// Field `number` with the bytes of a string or message.
std::string Bytes(int number, const std::string& bytes) {
  return std::string(1, static_cast<char>(number << 3 | 2)) +
         std::string(1, static_cast<char>(bytes.size())) + bytes;
}
std::string Varint(int number, int value) {
  return {static_cast<char>(number << 3), static_cast<char>(value)};
}
std::string Body(const std::string& api_version, const std::string& kind, const std::string& raw) {
  return std::string("k8s\0", 4) + Bytes(1, Bytes(1, api_version) + Bytes(2, kind)) +
         Bytes(2, raw) + Bytes(3, "") + Bytes(4, "");
}

class ProtobufBodyTest : public ::testing::Test {
 protected:
  std::string Json(const std::string& body) {
    const kube::Result<json::Value> value = bodies_.Decode(body);
    return value.ok() ? json::ToString(*value) : value.status().message;
  }
  ProtobufBodies bodies_;
};

TEST_F(ProtobufBodyTest, AsKubectlSendsAConfigMap) {
  // What `kubectl create configmap a --from-literal=x=y` sends: empty members of ObjectMeta and
  // all.
  const std::string sent = absl::HexStringToBytes(
      "6b3873000a0f0a02763112"
      "09436f6e6669674d6170"
      "121b0a110a01611200"
      "1a00"
      "2200"
      "2a00"
      "3200"
      "3800"
      "4200"
      "12060a017812"
      "0179"
      "1a00"
      "2200");
  EXPECT_EQ(Json(sent),
            R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"x":"y"}})");
}

TEST_F(ProtobufBodyTest, FormsOfJson) {
  // A Service port with targetPort "http", and one with 80.
  const std::string ports =
      Bytes(1, Bytes(1, "a") + Varint(3, 80) + Bytes(4, Varint(1, 1) + Bytes(3, "http"))) +
      Bytes(1, Bytes(1, "b") + Varint(3, 81) + Bytes(4, Varint(1, 0) + Varint(2, 80)));
  EXPECT_EQ(
      Json(Body("v1", "Service", Bytes(2, ports))),
      R"({"apiVersion":"v1","kind":"Service","spec":{"ports":[)"
      R"({"name":"a","port":80,"targetPort":"http"},{"name":"b","port":81,"targetPort":80}]}})");
  // Bytes are base64.
  EXPECT_THAT(Json(Body("v1", "Secret", Bytes(2, Bytes(1, "k") + Bytes(2, "v")))),
              HasSubstr(R"("data":{"k":"dg=="})"));
  // Options are sent under the group of what they are for.
  EXPECT_EQ(Json(Body("apps/v1", "DeleteOptions", Bytes(4, "Foreground"))),
            R"({"apiVersion":"apps/v1","kind":"DeleteOptions","propagationPolicy":"Foreground"})");
}

TEST_F(ProtobufBodyTest, WhatCannotBeReadIsSaid) {
  EXPECT_THAT(Json(""), HasSubstr("its envelope can't be read"));
  EXPECT_THAT(Json("{}"), HasSubstr("its envelope can't be read"));
  EXPECT_THAT(Json(Body("v1", "Widget", "")), HasSubstr("no kind \"Widget\" is registered"));
  EXPECT_THAT(Json(Body("v1", "Pod", "\xff\xff")), HasSubstr("can't be read as a Pod"));
  EXPECT_THAT(Json(Body("v1", "Pod", "").substr(0, 9)), HasSubstr("its envelope can't be read"));
}

}  // namespace
}  // namespace meltemi::apiserver
