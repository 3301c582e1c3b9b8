// The checks find what they are there to find.
#include "test/controllers/pod_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace meltemi::controllers {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

PodEvent Event(int64_t revision, const std::string& name, const std::string& what) {
  PodEvent event;
  event.revision = revision;
  event.ns = "default";
  event.name = name;
  event.uid = name + "-uid";
  event.app = "web";
  event.phase = what == "new" ? "Pending" : "Running";
  event.ready = what == "ready" || what == "stopping" || what == "gone";
  event.terminating = what == "stopping" || what == "gone";
  event.deleted = what == "gone";
  return event;
}

// Two pods, of which one is replaced by a third.
std::vector<PodEvent> Replacement() {
  return {Event(1, "a", "ready"), Event(2, "b", "ready"),    Event(3, "c", "new"),
          Event(4, "c", "ready"), Event(5, "a", "stopping"), Event(6, "a", "gone")};
}

TEST(PodLogChecks, CountAtEachMoment) {
  const Extremes extremes = ExtremesOf(Replacement(), "web", 2, 100);
  EXPECT_EQ(extremes.active_max, 3);
  EXPECT_EQ(extremes.active_min, 2);
  EXPECT_EQ(extremes.available_min, 2);
  EXPECT_EQ(extremes.available_max, 3);
}

TEST(PodLogChecks, FindABrokenBound) {
  EXPECT_THAT(CheckBounds(Replacement(), "web", 2, 100, {3, 2}), IsEmpty());
  EXPECT_THAT(CheckBounds(Replacement(), "web", 2, 100, {2, 2}),
              ElementsAre(HasSubstr("revision 3, pod c: 3 active"),
                          HasSubstr("revision 4, pod c: 3 active")));
  EXPECT_THAT(CheckBounds(Replacement(), "web", 4, 100, {3, 3}),
              ElementsAre(HasSubstr("revision 5"), HasSubstr("revision 6")));
  EXPECT_THAT(CheckBounds(Replacement(), "web", 2, 3, {3, 3}),
              ElementsAre(HasSubstr("revision 3")));
  EXPECT_THAT(CheckBounds(Replacement(), "other", 2, 100, {0, 0}), IsEmpty());
}

TEST(PodLogChecks, FindASecondPodOfAName) {
  std::vector<PodEvent> events = {Event(1, "db-0", "ready"), Event(2, "db-0", "gone")};
  PodEvent second = Event(3, "db-0", "new");
  second.uid = "another";
  events.push_back(second);
  EXPECT_THAT(CheckNames(events), IsEmpty());
  events.erase(events.begin() + 1);
  EXPECT_THAT(CheckNames(events), ElementsAre(HasSubstr("a second pod default/db-0")));
}

TEST(PodLogChecks, FindAnIndexThatSucceedsTwice) {
  PodEvent first = Event(1, "job-0-a", "ready");
  first.owner = "job";
  first.index = "0";
  first.phase = "Succeeded";
  PodEvent again = first;
  again.revision = 2;
  EXPECT_THAT(CheckCompletions({first, again}), IsEmpty());
  again.uid = "another";
  EXPECT_THAT(CheckCompletions({first, again}),
              ElementsAre(HasSubstr("default/job index 0 succeeds a second time")));
  again.index = "1";
  EXPECT_THAT(CheckCompletions({first, again}), IsEmpty());
}

}  // namespace
}  // namespace meltemi::controllers
