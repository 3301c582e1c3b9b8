// What must not be seen is taken out of what is shown.
//
// Stateless.
#pragma once

namespace google::protobuf {
class Message;
}

namespace meltemi::proxy {

// Every text of `message` that holds a private key becomes "[redacted]", also within packed
// messages; a packed message of an unknown type that holds one is emptied.
void RedactPrivateKeys(google::protobuf::Message* message);

}  // namespace meltemi::proxy
