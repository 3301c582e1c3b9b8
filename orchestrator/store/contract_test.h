// What every store must do (store.h), as tests over any implementation:
//
//   INSTANTIATE_TEST_SUITE_P(Sqlite, StoreContract, testing::Values(&OpenSomeStore));
#pragma once

#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "absl/status/statusor.h"
#include "orchestrator/store/store.h"

namespace meltemi::store {

// Opens a store, new or used. NotFound: it is not on this machine, and the tests are skipped.
using OpenStore = absl::StatusOr<std::unique_ptr<Store>> (*)();

class StoreContract : public testing::TestWithParam<OpenStore> {
 protected:
  void SetUp() override;

  // A key of this test alone.
  std::string Key(absl::string_view name) const { return prefix_ + std::string(name); }
  std::string end() const { return PrefixEnd(prefix_); }
  // The revision of the write; 0 and a failed test when a condition did not hold.
  Revision Put(absl::string_view name, absl::string_view value);
  Revision Delete(absl::string_view name);
  std::string ValueOf(absl::string_view name, Revision revision = 0);

  std::string prefix_;
  std::unique_ptr<Store> store_;
};

}  // namespace meltemi::store
