// Makes every xDS message of api/ known by name, so that an Any of it can be decoded or printed:
// what no code refers to would be left out by the linker.
#pragma once

#include <vector>

namespace google::protobuf {
class FileDescriptor;
}  // namespace google::protobuf

namespace meltemi::api {

// The files of the xDS subset, sorted by name. Calling it (once, at the start of a program that
// reads or prints resources) is what links them in.
std::vector<const google::protobuf::FileDescriptor*> LinkAllTypes();

}  // namespace meltemi::api
