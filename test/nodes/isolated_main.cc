// The main of tests that bring clusters up: in namespaces of their own.
#include <gtest/gtest.h>

#include "test/nodes/isolation.h"

int main(int argc, char** argv) {
  if (!meltemi::nodes::Isolate(argv)) return 1;
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
