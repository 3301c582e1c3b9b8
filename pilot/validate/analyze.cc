#include "pilot/validate/analyze.h"

#include "pilot/validate/analysis.h"
#include "pilot/validate/registry.h"

namespace meltemi::pilot {

std::vector<Diagnostic> Analyze(const std::vector<ObjectPtr>& objects,
                                const AnalyzeOptions& options) {
  const Registry registry(objects, options.domain);
  std::vector<Diagnostic> found;
  AnalyzeVirtualServices(registry, &found);
  AnalyzeDestinationRules(registry, &found);
  AnalyzeGateways(registry, &found);
  AnalyzeSidecars(registry, &found);
  AnalyzeServices(registry, &found);
  AnalyzePeerAuthentications(registry, options.root_namespace, &found);
  AnalyzeGatewayTls(registry, &found);
  SortDiagnostics(&found);
  return found;
}

}  // namespace meltemi::pilot
