// Is our file a subset of the official one?
#pragma once

#include <google/protobuf/descriptor.h>

#include <functional>
#include <string>
#include <vector>

namespace meltemi::interop {

struct CompareOptions {
  // Our full name of a message or enum -> the official one. Same names by default.
  std::function<std::string(const std::string&)> official_name = [](const std::string& name) {
    return name;
  };
  // Names, oneofs and presence are compared, too. Not of Kubernetes, which has them in its Go
  // types.
  bool names = true;
};

struct Compared {
  size_t messages = 0;
  size_t fields = 0;
  size_t enum_values = 0;
  size_t methods = 0;
  std::vector<std::string> differences;
};

// Every message, field (number, name, JSON name, type, label, oneof, presence), enum (all values)
// and method of `ours` must be in `official` just so.
void Compare(const google::protobuf::FileDescriptor& ours,
             const google::protobuf::DescriptorPool& official, const CompareOptions& options,
             Compared* result);

}  // namespace meltemi::interop
