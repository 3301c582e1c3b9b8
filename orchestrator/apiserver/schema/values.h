// Comparing and printing JSON values the way Go programs do.
//
// Threads: functions without state.
#pragma once

#include <string>

#include "base/json/value.h"

namespace meltemi::apiserver {

// Equal as unstructured objects: the order of members does not count, 1 equals 1.0, a missing
// member differs from null.
bool SameTree(const json::Value& a, const json::Value& b);

// Whether the two differ in more than members that say nothing (null, "", 0, false, and lists and
// objects of nothing else): no filling in or leaving out of such members makes them the same. Ends
// at the first difference and copies nothing; false may also mean that they differ.
bool SurelyDiffer(const json::Value& a, const json::Value& b);

// The same text for values that SameTree calls the same: for look-ups.
std::string CanonicalText(const json::Value& value);

// %#v of the value as Go holds it: `map[string]interface {}{"name":"a", "port":80}`.
std::string GoSyntax(const json::Value& value);
// %v of a float64: "0.5", "1e+21".
std::string GoNumber(double number);
// Whether Go's decoder makes an int64 of the number, as opposed to a float64.
bool IsIntLiteral(const json::Value& number);

}  // namespace meltemi::apiserver
