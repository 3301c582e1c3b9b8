// .proto files -> descriptors, without their options: what a message is made of, whatever
// annotations its publisher adds.
#pragma once

#include <google/protobuf/descriptor.h>

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace meltemi::interop {

// Files by import path. Imports are loaded as they are needed; one that no root has stands for an
// empty file (annotations).
class ProtoSource {
 public:
  // (prefix of import paths, folder that the rest of the path is below); the first that has the
  // file wins.
  using Roots = std::vector<std::pair<std::string, std::string>>;

  explicit ProtoSource(Roots roots);
  ~ProtoSource();

  // Null when the file is missing or does not parse; errors() tells why.
  const google::protobuf::FileDescriptor* Load(const std::string& path);
  const google::protobuf::DescriptorPool& pool() const;
  const std::vector<std::string>& errors() const { return errors_; }

 private:
  class ErrorSink;
  bool Add(const std::string& path, bool required);

  const Roots roots_;
  std::unique_ptr<google::protobuf::DescriptorPool> pool_;
  std::set<std::string> added_;
  std::vector<std::string> errors_;
};

}  // namespace meltemi::interop
