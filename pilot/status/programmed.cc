#include "pilot/status/programmed.h"

namespace meltemi::pilot {

bool GetsConditions(Kind kind) {
  switch (kind) {
    case Kind::kVirtualService:
    case Kind::kDestinationRule:
    case Kind::kGateway:
    case Kind::kServiceEntry:
    case Kind::kWorkloadEntry:
    case Kind::kSidecar:
    case Kind::kPeerAuthentication:
    case Kind::kAuthorizationPolicy:
      return true;
    default:
      return false;
  }
}

}  // namespace meltemi::pilot
