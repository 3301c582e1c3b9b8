// Domain names in wire form: labels, each after its length, then a zero byte.
//
// A Name is canonical: uncompressed, ASCII letters small. Thread-compatible values. Source: RFC
// 1035 3.1, 4.1.4; RFC 4343 for case.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"

namespace meltemi::dns {

inline constexpr size_t kNameBytesMax = 255, kLabelBytesMax = 63;

// "\3www\7example\0" as a string; the root is one zero byte.
using Name = std::string;

// "www.example.com" or "www.example.com." Empty: some label is too long or empty, or all of it.
Name NameFromText(absl::string_view text);
// "www.example.com."; bytes that are no text as "\DDD".
std::string NameToText(absl::string_view name);

// The labels, without the root's.
using Labels = absl::InlinedVector<absl::string_view, 12>;
Labels LabelsOf(absl::string_view name);

// A name at `*at` of a message, pointers followed, made canonical. `*at` moves behind it. False: it
// is broken, longer than allowed, or its pointers do not lead strictly backwards.
bool ReadName(absl::string_view message, size_t* at, Name* out);
// The same without looking at what it says.
bool SkipName(absl::string_view message, size_t* at);

}  // namespace meltemi::dns
