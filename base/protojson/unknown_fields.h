// Fields on the wire that our subset of a message does not have.
#pragma once

#include <string>
#include <vector>

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace meltemi::protojson {

// One line per unknown field, "filter_chains[0]: field 17 of envoy.config.listener.v3.FilterChain",
// in the order of the wire; nothing when all is known. Does not look into Any: its reader unpacks
// it and asks again.
std::vector<std::string> UnknownFields(const google::protobuf::Message& message);

}  // namespace meltemi::protojson
