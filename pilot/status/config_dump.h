// What a proxy is configured with, in the form of Envoy's /config_dump. Pure function.
#pragma once

#include <string>
#include <vector>

#include "pilot/translate/resource.h"
#include "pilot/translate/translator.h"

namespace meltemi::pilot {

// `types`: which parts; empty for all. JSON with proto names, indented.
std::string ConfigDumpJson(ProxyView* view, const std::vector<XdsType>& types = {});

}  // namespace meltemi::pilot
