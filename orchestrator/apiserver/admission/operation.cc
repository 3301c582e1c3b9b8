#include "orchestrator/apiserver/admission/admission.h"

namespace meltemi::apiserver {

absl::string_view OperationName(Operation operation) {
  switch (operation) {
    case Operation::kCreate:
      return "CREATE";
    case Operation::kUpdate:
      return "UPDATE";
    case Operation::kDelete:
      return "DELETE";
    case Operation::kConnect:
      return "CONNECT";
  }
  return "";
}

}  // namespace meltemi::apiserver
