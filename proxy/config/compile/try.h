// Passing errors up in the compile functions without a screen of ifs.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define MELTEMI_TRY_CONCAT_INNER(a, b) a##b
#define MELTEMI_TRY_CONCAT(a, b) MELTEMI_TRY_CONCAT_INNER(a, b)

// Returns the status of `expression` from the surrounding function unless it is ok.
#define RETURN_IF_ERROR(expression)                                                  \
  do {                                                                               \
    if (absl::Status try_status = (expression); !try_status.ok()) return try_status; \
  } while (false)

// `target` = the value of the StatusOr `expression`, or return of its status.
#define ASSIGN_OR_RETURN(target, expression) \
  ASSIGN_OR_RETURN_AS(MELTEMI_TRY_CONCAT(try_or_, __LINE__), target, expression)
#define ASSIGN_OR_RETURN_AS(temporary, target, expression) \
  auto temporary = (expression);                           \
  if (!temporary.ok()) return temporary.status();          \
  target = *std::move(temporary)
